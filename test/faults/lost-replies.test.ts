import { expect } from 'vitest';
import type { NewTask, StoredTaskQueue } from '../../src/queue/index.ts';
import { auditQueue } from './audit.ts';
import { behindProxy, onRedis, REDIS_BACKENDS } from './on-redis.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const LOST_SHARE = 0.05;
const TASKS = scaled(150, 3_000);
const SAME_ID = 50;
const BATCH = 10;

test.for(REDIS_BACKENDS)(
  'R05: one reply in twenty is lost (%s): one task for each id, and each is completed once',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    const server = await onRedis(stage, backend);
    const calm = stage.queue();
    const proxy = await behindProxy(stage, server);
    stage.queueOptions = { leaseMs: 1_500, sweepMs: 200, retry: { initialInterval: 50 } };
    const queue = stage.queue();
    const workers = await Promise.all([1, 2].map(() => stage.launch('queue-worker')));
    proxy.loseReplies(LOST_SHARE);

    const single = Array.from({ length: TASKS }, (_, n) => `single-${n}`);
    const batches = Array.from({ length: TASKS / BATCH }, (_, b) =>
      Array.from({ length: BATCH }, (_, n) => `batch-${b}.${n}`),
    );
    const same = Promise.all(Array.from({ length: SAME_ID }, () => insist(queue, [newTask('same')])));
    for (const id of single) await insist(queue, [newTask(id)]);
    await Promise.all(batches.map((ids) => insist(queue, ids.map(newTask))));
    expect(await same).toEqual(Array.from({ length: SAME_ID }, () => ['same']));

    const ids = [...single, ...batches.flat(), 'same'];
    await eventually(
      async () => (await calm.stats()).counts.completed === ids.length,
      20_000,
      () => 'not all were completed',
    );
    proxy.loseReplies(0);
    expect(proxy.lost).toBeGreaterThan(10);
    const { tasks, histories } = await auditQueue(calm);
    expect([...tasks.keys()].sort()).toEqual(ids.sort());
    for (const [id, history] of histories) {
      expect(
        history.filter(({ to }) => to === 'completed'),
        id,
      ).toHaveLength(1);
      expect(
        history.filter(({ from }) => from === null),
        id,
      ).toHaveLength(1);
    }
    for (const worker of workers) {
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
      expect(worker.stderr).toBe('');
    }
  },
);

function newTask(id: string): NewTask {
  return { id, payload: { do: 'sleep', ms: 5 } };
}

/** A submit may be repeated until it is acknowledged: that is what an id is for. */
async function insist(queue: StoredTaskQueue, tasks: readonly NewTask[]): Promise<string[]> {
  for (;;) {
    try {
      return tasks.length === 1 ? [await queue.enqueue(tasks[0]!)] : await queue.enqueueMany(tasks);
    } catch (error) {
      expect((error as { code?: string }).code, String(error)).toBe('STORE_UNAVAILABLE');
    }
  }
}
