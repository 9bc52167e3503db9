import { describe, expect } from 'vitest';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import { audit, auditQueue, checkpointRows, checkpointsOf, expectQuiet, lineage } from './audit.ts';
import { onRedis, REDIS_BACKENDS, type RedisBackend } from './on-redis.ts';
import type { Child } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const ROUNDS = scaled(2, 20);
const ABORTED_WITHIN_MS = 1_000;
/** Nothing is held ahead: a frozen process holds what it runs, and the other one is to get the rest at once. */
const LEASE = { leaseMs: 600, sweepMs: 100, retry: { initialInterval: 50 }, prefetchTasksMin: 0 };

describe.each(['sqlite', ...REDIS_BACKENDS])(
  'R03: a process is stopped inside a node, past its lease (%s)',
  (backend) => {
    test(
      'when it wakes after another has ended the task, it can neither settle nor checkpoint',
      TEST_TIMEOUT,
      async ({ stage }) => {
        if (backend !== 'sqlite') await onRedis(stage, backend as RedisBackend);
        stage.queueOptions = LEASE;
        const queue = stage.queue();
        const workers = await Promise.all([stage.launch('graph-worker'), stage.launch('graph-worker')]);
        const seen = new Map<string, unknown>();

        for (let round = 0; round < ROUNDS; round++) {
          const id = `round-${round}`;
          const until = round % 2 === 0 ? 'return' : 'abort';
          const zombie = await freeze(stage, queue, workers, id, { until });
          expect((await queue.waitFor(id, { timeoutMs: 10_000 })).status).toBe('completed');
          const before = await stateOf(stage, queue, id);

          await wake(zombie, id);
          expect(await stateOf(stage, queue, id)).toEqual(before);
          seen.set(id, before);
        }

        for (const [id, before] of seen) {
          expect(await stateOf(stage, queue, id), 'later than the round').toEqual(before);
          await expectOneStory(stage, queue, id);
        }
        await (backend === 'sqlite' ? audit(stage.database) : auditQueue(queue));
        expectQuiet(stage);
      },
    );

    test(
      'when it wakes while another runs the task, that run is not disturbed',
      TEST_TIMEOUT,
      async ({ stage }) => {
        if (backend !== 'sqlite') await onRedis(stage, backend as RedisBackend);
        stage.queueOptions = LEASE;
        const queue = stage.queue();
        const workers = await Promise.all([stage.launch('graph-worker'), stage.launch('graph-worker')]);

        for (let round = 0; round < ROUNDS; round++) {
          const id = `round-${round}`;
          const zombie = await freeze(stage, queue, workers, id, { until: 'return', hold: true });
          const heir = workers.find((worker) => worker !== zombie)!;
          await heir.until('holding', { id });
          const before = await storyOf(stage, queue, id);

          await wake(zombie, id);
          // A whole task of the zombie's process after it has woken: what its late return led to has happened by now.
          await queue.enqueue({ id: `after-${id}`, agent: 'steps', payload: { ms: 0 } });
          await queue.waitFor(`after-${id}`, { timeoutMs: 10_000 });
          expect(await storyOf(stage, queue, id)).toEqual(before);
          heir.send({ type: 'open', id });
          expect((await queue.waitFor(id, { timeoutMs: 10_000 })).status).toBe('completed');
          await expectOneStory(stage, queue, id);
        }
        await (backend === 'sqlite' ? audit(stage.database) : auditQueue(queue));
        expectQuiet(stage);
      },
    );
  },
);

/** Submits the task and stops whoever runs it. */
async function freeze(
  stage: Stage,
  queue: StoredTaskQueue,
  workers: readonly Child[],
  id: string,
  payload: { readonly until: string; readonly hold?: boolean },
): Promise<Child> {
  await queue.enqueue({ id, agent: 'gate', payload: { ...payload, ms: stage.random.between(300, 500) } });
  const zombie = await Promise.race(
    workers.map((worker) => worker.until('in-gate', { id }).then(() => worker)),
  );
  await stage.freeze(zombie);
  return zombie;
}

/** Lets it go on and end its node, and measures how soon it is told. */
async function wake(zombie: Child, id: string): Promise<void> {
  const wokenAt = Date.now();
  zombie.kill('SIGCONT');
  const { at } = await zombie.until('aborted', { id });
  expect((at as number) - wokenAt).toBeLessThanOrEqual(ABORTED_WITHIN_MS);
  await zombie.until('out-of-gate', { id });
}

async function expectOneStory(stage: Stage, queue: StoredTaskQueue, id: string): Promise<void> {
  expect(stage.log({ id, phase: 'start', node: 'a' }), 'the finished node is not run again').toHaveLength(1);
  expect(await queue.getTask(id)).toMatchObject({ retryCount: 0, result: { path: ['a', 'b', 'c'] } });
  await lineage(queue, id);
}

/** Everything that a late write could have changed. */
async function stateOf(stage: Stage, queue: StoredTaskQueue, id: string): Promise<unknown> {
  return { task: await queue.getTask(id), ...(await storyOf(stage, queue, id)) };
}

async function storyOf(stage: Stage, queue: StoredTaskQueue, id: string): Promise<object> {
  const checkpoints =
    stage.backend === 'sqlite' ? checkpointRows(stage.database, id) : await checkpointsOf(queue, id);
  return { history: await queue.history(id), checkpoints };
}
