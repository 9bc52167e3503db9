import { describe, expect } from 'vitest';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import { audit, auditQueue, expectQuiet } from './audit.ts';
import { onRedis } from './on-redis.ts';
import { eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const RACES = scaled(100, 1_000);
const PAUSES = scaled(2, 30);
/** The calls of a race are this far apart at most, ms. */
const SPREAD_MS = 3;
const PAUSED_WITHIN_MS = 250;
const ABORTED_WITHIN_MS = 1_000;

type Backend = 'sqlite' | 'redis' | 'hybrid';

/** The queue of a stage on this backend. */
async function on(backend: Backend, stage: Stage): Promise<StoredTaskQueue> {
  if (backend !== 'sqlite') await onRedis(stage, backend);
  return stage.queue();
}

describe.each<Backend>(['sqlite', 'redis', 'hybrid'])('R19 on %s: who comes first', (backend) => {
  test(
    'of cancel and complete in two processes exactly one wins, and both are told the same',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const queue = await on(backend, stage);
      const ids = Array.from({ length: RACES }, (_, n) => `race-${n}`);
      await queue.enqueueMany(ids.map((id) => ({ id, payload: {} })));
      const holder = await stage.launch('queue-worker', { more: { claiming: false } });
      const canceller = await stage.launch('queue-worker', { more: { claiming: false } });
      holder.send({ type: 'dequeue', ids });
      await holder.until('holding', { count: RACES });

      const startsAt = Date.now() + 200;
      const at = ids.map((_, n) => startsAt + n * SPREAD_MS);
      const jitter = (): number => stage.random.between(0, SPREAD_MS);
      holder.send({
        type: 'race',
        races: ids.map((id, n) => ({ id, at: at[n]! + jitter(), verb: 'settle' })),
      });
      canceller.send({
        type: 'race',
        races: ids.map((id, n) => ({ id, at: at[n]! + jitter(), verb: 'cancel' })),
      });

      for (const id of ids) {
        const settled = (await holder.until('raced', { id })).answer;
        const cancelled = (await canceller.until('raced', { id })).answer;
        expect(
          [
            ['completed', 'completed'],
            ['LEASE_LOST', 'cancelled'],
          ],
          id,
        ).toContainEqual([settled, cancelled]);
      }
      const { tasks } = await (backend === 'sqlite' ? audit(stage.database) : auditQueue(queue));
      for (const id of ids)
        expect(tasks.get(id)?.status, id).toBe(
          canceller.said('raced').find((said) => said.id === id)?.answer,
        );
      expectQuiet(stage);
    },
  );

  test('cancel aborts a run in another process within a second', TEST_TIMEOUT, async ({ stage }) => {
    const queue = await on(backend, stage);
    const worker = await stage.launch('graph-worker');
    const ids = Array.from({ length: 5 }, (_, n) => `patient-${n}`);
    await queue.enqueueMany(ids.map((id) => ({ id, agent: 'patient', payload: { ms: 0 } })));

    for (const id of ids) {
      await worker.until('waiting', { id });
      const cancelledAt = Date.now();
      expect((await queue.cancel(id, 'no longer needed')).status).toBe('cancelled');
      const { at } = await worker.until('aborted', { id });
      expect((at as number) - cancelledAt).toBeLessThanOrEqual(ABORTED_WITHIN_MS);
    }
    worker.kill('SIGTERM');
    expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
    const { tasks } = await (backend === 'sqlite' ? audit(stage.database) : auditQueue(queue));
    for (const id of ids) expect(tasks.get(id)?.status, id).toBe('cancelled');
    expectQuiet(stage);
  });

  test(
    'nothing starts in any process once pause has resolved, and everything does after resume',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const queue = await on(backend, stage);
      await Promise.all([1, 2, 3].map(() => stage.launch('queue-worker', { concurrency: 3 })));
      const enqueuer = stage.spawn('enqueuer', {
        more: { perSecond: 200, inFlight: 5, msMin: 1, msMax: 10 },
      });
      const running = (after: number): Promise<void> =>
        eventually(
          () => stage.log({ phase: 'start' }).length > after,
          10_000,
          () => 'nothing starts',
        );

      for (let round = 0; round < PAUSES; round++) {
        await running(stage.log({ phase: 'start' }).length + stage.random.between(1, 40));
        await queue.pause();
        const pausedAt = Date.now();
        await moment(PAUSED_WITHIN_MS);
        const starts = stage.log({ phase: 'start' });
        await moment(400);
        expect(stage.log({ phase: 'start' })).toHaveLength(starts.length);
        for (const start of starts) expect(start.at).toBeLessThanOrEqual(pausedAt + PAUSED_WITHIN_MS);
        await queue.resume();
      }
      await running(stage.log({ phase: 'start' }).length);
      enqueuer.kill('SIGKILL');
      await eventually(
        async () => (await queue.stats()).ready === 0,
        15_000,
        () => 'tasks were left over',
      );
      expectQuiet(stage);
    },
  );

  test('a retry asked for while paused is not lost', TEST_TIMEOUT, async ({ stage }) => {
    const queue = await on(backend, stage);
    await queue.enqueue({ id: 'failed', payload: {}, maxRetries: 0 });
    const task = await queue.dequeue();
    await queue.settle(task!, { status: 'failed', error: new Error('the first life') });
    await stage.launch('queue-worker');

    await queue.pause();
    expect((await queue.retry('failed')).status).toBe('pending');
    await moment(PAUSED_WITHIN_MS);
    expect(stage.log()).toEqual([]);
    await queue.resume();

    expect((await queue.waitFor('failed', { timeoutMs: 10_000 })).status).toBe('completed');
    expectQuiet(stage);
  });
});
