import { describe, expect } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { audit, auditQueue, checkpointsOf, expectQuiet } from './audit.ts';
import { onRedis, REDIS_BACKENDS, type RedisBackend } from './on-redis.ts';
import { TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const LEASE_MS = 3_000;
const REACHED_WITHIN_MS = 1_000;
const GRACE_MS = 600;

describe.each(['sqlite', ...REDIS_BACKENDS])('a cancel from another process (%s)', (backend) => {
  async function set(stage: Stage) {
    if (backend !== 'sqlite') await onRedis(stage, backend as RedisBackend);
    stage.queueOptions = { leaseMs: LEASE_MS, sweepMs: 200 };
    const queue = stage.queue();
    const worker = await stage.launch('graph-worker', { concurrency: 1 });
    return { queue, worker, conductor: new Conductor({ agents: {}, queue }) };
  }

  test(
    'reaches the run within a second, and resolves when it has stopped',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const { queue, worker, conductor } = await set(stage);
      await queue.enqueue({ id: 'patient', agent: 'patient', payload: {} });
      await worker.until('waiting', { id: 'patient' });
      const askedAt = Date.now();
      const receipt = await conductor.cancel('patient', { reason: 'not needed', graceMs: 20_000 });
      expect(receipt).toMatchObject({ status: 'cancelled', reason: 'not needed', run: 'ended' });
      expect(receipt.checkpointId).toBeTypeOf('string');
      const { at } = await worker.until('aborted', { id: 'patient' });
      expect((at as number) - askedAt).toBeLessThanOrEqual(REACHED_WITHIN_MS);
      await (backend === 'sqlite' ? audit(stage.database) : auditQueue(queue));
      expectQuiet(stage);
    },
  );

  test(
    'takes the slot back after the grace, and no checkpoint comes later',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const { queue, worker, conductor } = await set(stage);
      await queue.enqueue({ id: 'deaf', agent: 'deaf', payload: { ms: 2_500 } });
      await worker.until('waiting', { id: 'deaf' });
      await queue.enqueue({ id: 'next', agent: 'steps', payload: { ms: 0 } });
      const receipt = await conductor.cancel('deaf', { graceMs: GRACE_MS });
      expect(receipt).toMatchObject({ status: 'cancelled', run: 'abandoned' });
      const before = await checkpointsOf(queue, 'deaf');
      const next = await queue.waitFor('next', { timeoutMs: 20_000 });
      const { completedAt } = (await queue.getTask('deaf'))!;
      expect(next.startedAt! - completedAt!).toBeGreaterThanOrEqual(GRACE_MS - 50);
      expect(worker.said('late'), 'the next did not wait for its end').toEqual([]);
      await worker.until('late', { id: 'deaf' });
      await queue.enqueue({ id: 'last', agent: 'steps', payload: { ms: 0 } });
      await queue.waitFor('last', { timeoutMs: 20_000 });
      expect(await checkpointsOf(queue, 'deaf')).toEqual(before);
      expect((await queue.history('deaf')).at(-1)?.to).toBe('cancelled');
    },
  );

  test('ends with the lease where the worker dies', TEST_TIMEOUT, async ({ stage }) => {
    const { queue, worker, conductor } = await set(stage);
    await queue.enqueue({ id: 'deaf', agent: 'deaf', payload: { ms: 0 } });
    await worker.until('waiting', { id: 'deaf' });
    worker.kill('SIGKILL');
    const askedAt = Date.now();
    expect(await conductor.cancel('deaf')).toMatchObject({ status: 'cancelled', run: 'lost' });
    expect(Date.now() - askedAt).toBeLessThanOrEqual(LEASE_MS + 1_000);
  });

  test('of a task that nobody runs is over at once', TEST_TIMEOUT, async ({ stage }) => {
    const { queue, worker, conductor } = await set(stage);
    await queue.enqueue({ id: 'deaf', agent: 'deaf', payload: { ms: 0 } });
    await worker.until('waiting', { id: 'deaf' });
    await queue.enqueue({ id: 'pending', agent: 'steps', payload: { ms: 0 } });
    const askedAt = Date.now();
    expect(await conductor.cancel('pending')).toMatchObject({
      status: 'cancelled',
      run: 'none',
      children: [],
    });
    // It may have been claimed ahead by a node that does not begin it.
    expect(Date.now() - askedAt).toBeLessThanOrEqual(2_500);
  });
});
