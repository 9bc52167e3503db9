import { expect, onTestFinished, vi } from 'vitest';
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

test(
  'R17: the clock of the machine is set an hour on and back (sqlite); no lease is stolen, and who died is noticed',
  TEST_TIMEOUT,
  async ({ stage }) => {
    stage.queueOptions = { leaseMs: 600, sweepMs: 50, retry: { initialInterval: 50 } };
    const queue = stage.queue();
    const launch = () => stage.launch('queue-worker', { concurrency: 2 });
    const workers = await Promise.all([launch(), launch(), launch()]);
    onTestFinished(() => void vi.restoreAllMocks());

    let started = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const ms of [HOUR_MS, 0]) {
        const ids = [1, 2, 3].map((n) => `long-${round}-${ms}-${n}`);
        await queue.enqueueMany(ids.map((id) => ({ id, payload: { ms: LONG_MS } })));
        started += ids.length;
        await eventually(
          () => stage.log({ phase: 'start' }).length === started,
          10_000,
          () => 'they did not start',
        );
        await skewAll(workers, ms);
        for (const id of ids) await queue.waitFor(id, { timeoutMs: 20_000 });
      }
    }
    expect(extraStarts(stage)).toBe(0);
    for (const worker of workers) expect(worker.said('lost'), worker.name).toEqual([]);

    await skewAll(workers, HOUR_MS);
    await queue.enqueue({ id: 'orphan', payload: { ms: 30_000 } });
    await eventually(
      () => stage.log({ id: 'orphan' }).length === 1,
      10_000,
      () => 'it did not start',
    );
    const { pid } = stage.log({ id: 'orphan' })[0]!;
    workers.find((worker) => worker.pid === pid)!.kill('SIGKILL');
    await eventually(
      async () => (await queue.getTask('orphan'))?.crashes === 1,
      10_000,
      () => 'nobody noticed that it died',
    );
    await auditQueue(queue);
  },
);

/** What a machine's clock does: all its processes, this one too, see the same jump at the same moment. */
async function skewAll(workers: readonly Child[], ms: number): Promise<void> {
  const now = realTime();
  const from = now + 300;
  const before = Date.now() - now;
  vi.spyOn(Date, 'now').mockImplementation(() => realTime() + (realTime() < from ? before : ms));
  await Promise.all(workers.map((worker) => skew(worker, ms, from)));
  await eventually(
    () => realTime() > from,
    5_000,
    () => 'time stands still',
  );
}

function realTime(): number {
  return performance.timeOrigin + performance.now();
}

async function skew(worker: Child, ms: number, from = 0): Promise<void> {
  const before = worker.said('skewed').length;
  worker.send({ type: 'skew', ms, from });
  await eventually(
    () => worker.said('skewed').length > before,
    10_000,
    () => `${worker.name} did not take the wrong time`,
  );
}
