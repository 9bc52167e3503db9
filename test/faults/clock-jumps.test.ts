import { expect } from 'vitest';
import { auditQueue, expectQuiet, extraStarts } from './audit.ts';
import { onRedis, REDIS_BACKENDS } from './on-redis.ts';
import { type Child, eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const HOUR_MS = 3_600_000;
const ROUNDS = scaled(1, 10);
/** Longer than several leases and many sweeps. */
const LONG_MS = 2_000;

test.for(REDIS_BACKENDS)(
  'R17: clocks of workers jump by an hour (%s); no lease is stolen and nothing comes early',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 600, sweepMs: 50, retry: { initialInterval: 50 } };
    const queue = stage.queue();
    const holder = await stage.launch('queue-worker', { concurrency: 2 });
    const fast = await stage.launch('queue-worker', { concurrency: 2 });
    const slow = await stage.launch('queue-worker', { concurrency: 2 });

    for (let round = 0; round < ROUNDS; round++) {
      const ids = [1, 2, 3].map((n) => `long-${round}-${n}`);
      await queue.enqueueMany(ids.map((id) => ({ id, payload: { ms: LONG_MS } })));
      await eventually(
        () => stage.log({ phase: 'start' }).length === 3 * (round + 1) + 10 * round,
        10_000,
        () => 'they did not start',
      );
      await skew(fast, HOUR_MS);
      await skew(slow, -HOUR_MS);
      await skew(holder, HOUR_MS);
      await queue.enqueueMany(
        Array.from({ length: 10 }, (_, n) => ({ id: `short-${round}-${n}`, payload: { ms: 5 } })),
      );
      await queue.enqueue({ id: `tomorrow-${round}`, payload: {}, delayMs: HOUR_MS / 2 });
      await skew(holder, -HOUR_MS);
      for (const id of ids)
        expect((await queue.waitFor(id, { timeoutMs: 20_000 })).status, id).toBe('completed');
      for (let n = 0; n < 10; n++) await queue.waitFor(`short-${round}-${n}`, { timeoutMs: 20_000 });
      for (const worker of [holder, fast, slow]) await skew(worker, 0);
    }

    expect(extraStarts(stage)).toBe(0);
    const { tasks } = await auditQueue(queue);
    for (const task of tasks.values()) {
      expect(task.crashes, task.id).toBe(0);
      expect(task.status, task.id).toBe(task.id.startsWith('tomorrow') ? 'pending' : 'completed');
    }
    for (const worker of [holder, fast, slow]) expect(worker.said('lost'), worker.name).toEqual([]);
    expectQuiet(stage);
  },
);

async function skew(worker: Child, ms: number): Promise<void> {
  const before = worker.said('skewed').length;
  worker.send({ type: 'skew', ms });
  await eventually(
    () => worker.said('skewed').length > before,
    10_000,
    () => `${worker.name} did not take the wrong time`,
  );
}
