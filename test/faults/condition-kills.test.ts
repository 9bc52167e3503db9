import { expect } from 'vitest';
import { isEnded } from '../../src/queue/task.ts';
import { expectQuiet } from './audit.ts';
import { onRedis } from './on-redis.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { Backend } from './workers/open-queue.ts';

const ROUNDS = scaled(2, 20);
const CONDITION = { fits: () => true };
const BACKENDS: readonly Backend[] = ['sqlite', 'redis', 'hybrid'];

/** A task has ended, and who was about to judge it by the condition of the next one is dead. */
async function leaveUnjudged(stage: Stage, round: number): Promise<{ first: string; second: string }> {
  const [first, second] = [`first-${round}`, `second-${round}`];
  const submitter = stage.queue({ ...stage.queueOptions, conditions: CONDITION });
  await submitter.enqueueMany([
    { id: first, payload: {} },
    { id: second, payload: {}, dependsOn: [{ id: first, on: { custom: 'fits' } }] },
  ]);
  await submitter.close();
  const judge = await stage.launch('queue-worker', { more: { fits: 'kills' } });
  expect(await judge.untilExit()).toEqual({ code: null, signal: 'SIGKILL' });
  return { first, second };
}

test.for(BACKENDS)(
  'on %s a process dies between an ending and its verdict: the blocker says so, and the next one judges',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    if (backend !== 'sqlite') await onRedis(stage, backend);
    // Who does not know the condition leaves it to others for a lease.
    stage.queueOptions = { leaseMs: 60_000, heartbeatMs: 1_000, sweepMs: 100 };
    const queue = stage.queue();
    for (let round = 0; round < ROUNDS; round++) {
      const { first, second } = await leaveUnjudged(stage, round);

      expect((await queue.getTask(first))?.status).toBe('completed');
      expect((await queue.explain(second)).blockers).toMatchObject([{ code: 'CONDITION', taskId: first }]);
      expect(await queue.dequeue()).toBeNull();

      const worker = await stage.launch('queue-worker', { more: { fits: 'holds' } });
      expect((await queue.waitFor(second, { timeoutMs: 20_000 })).status).toBe('completed');
      for (const id of [first, second])
        expect((await queue.history(id)).filter(({ to }) => isEnded(to))).toHaveLength(1);
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
    }
    expectQuiet(stage);
  },
);

test.for(BACKENDS)(
  'on %s nobody is left who knows the condition: after a lease the edge fails, and says why',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    if (backend !== 'sqlite') await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 600, sweepMs: 100 };
    const queue = stage.queue();
    const { second } = await leaveUnjudged(stage, 0);

    expect((await queue.waitFor(second, { timeoutMs: 20_000 })).status).toBe('skipped');
    expect((await queue.history(second)).at(-1)?.reason).toContain('is not registered in this process');
    expectQuiet(stage);
  },
);
