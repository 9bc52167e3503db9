import { describe, expect } from 'vitest';
import { audit, expectQuiet, lineage } from './audit.ts';
import { type Child, eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const ISOLATED = { isolation: { in: 'process', graceMs: 300 } };
const LEASE = { leaseMs: 1_500, sweepMs: 200, retry: { initialInterval: 50 } };
const STORM = scaled(
  { workers: 2, tasks: 24, kills: 4, everyMs: 800 },
  { workers: 4, tasks: 400, kills: 30, everyMs: 2_000 },
);
const CONCURRENCY = 2;
const BLOCK_MS = scaled(2_000, 10_000);
const ROUNDS = scaled(1, 10);

describe('agents in processes of their own', () => {
  test(
    'R03: a kill -9 storm loses nothing, ends each task once and leaves no process',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = { ...LEASE, maxCrashes: 50 };
      const queue = stage.queue();
      const ids = Array.from({ length: STORM.tasks }, (_, i) => `t${i}`);
      await queue.enqueueMany(ids.map((id) => ({ id, agent: 'steps', payload: { ms: 60 } })));
      const launch = () => stage.spawn('graph-worker', { concurrency: CONCURRENCY, more: ISOLATED });
      const workers = Array.from({ length: STORM.workers }, launch);
      for (let kill = 0; kill < STORM.kills; kill++) {
        await moment(STORM.everyMs);
        const victim = stage.random.below(workers.length);
        workers[victim]!.kill('SIGKILL');
        workers[victim] = launch();
      }
      await eventually(
        async () => (await queue.stats()).counts.completed === STORM.tasks,
        scaled(40_000, 20 * 60_000),
        () => 'not all were completed',
      );
      await Promise.all(workers.map(retire));

      const { tasks } = await audit(stage.database);
      for (const id of ids) {
        expect(tasks.get(id), id).toMatchObject({ status: 'completed', result: { path: ['a', 'b', 'c'] } });
        await lineage(queue, id);
      }
      const starts = stage.log({ phase: 'start' });
      const repeated = starts.length - 3 * STORM.tasks;
      expect(repeated, 'a kill repeats the nodes it hit').toBeLessThanOrEqual(STORM.kills * CONCURRENCY);
      await expectGone(stage);
      expectQuiet(stage);
    },
  );

  test(
    'a worker that is killed takes a process with it that blocks its event loop',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = LEASE;
      const queue = stage.queue();
      const worker = await stage.launch('graph-worker', { more: ISOLATED });
      await queue.enqueue({ id: 'block', agent: 'blocker', payload: { ms: 60_000 } });
      await worker.until('blocking', { id: 'block' });
      worker.kill('SIGKILL');
      await worker.untilExit();
      await expectGone(stage);
    },
  );

  test(
    'R08: a node that blocks its event loop holds up neither leases nor other tasks',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = { ...LEASE, leaseMs: 900 };
      const queue = stage.queue();
      const worker = await stage.launch('graph-worker', { more: ISOLATED });
      await queue.enqueue({ id: 'block', agent: 'blocker', payload: { ms: BLOCK_MS } });
      await worker.until('blocking', { id: 'block' });
      await queue.enqueueMany(['s1', 's2'].map((id) => ({ id, agent: 'steps', payload: { ms: 20 } })));
      const [block, ...others] = await Promise.all(
        ['block', 's1', 's2'].map((id) => queue.waitFor(id, { timeoutMs: 30_000 })),
      );
      expect(block).toMatchObject({ status: 'completed', crashes: 0, result: { path: ['a', 'b', 'c'] } });
      for (const other of others) expect(other).toMatchObject({ status: 'completed', crashes: 0 });
      expect(worker.said('lease-lost')).toEqual([]);
      await retire(worker);
      await audit(stage.database);
      expectQuiet(stage);
    },
  );

  test(
    'R03: a worker that is stopped past its lease can write nothing when it wakes, nor can its process',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = { ...LEASE, leaseMs: 600, sweepMs: 100 };
      const queue = stage.queue();
      const options = { more: ISOLATED };
      const workers = await Promise.all([
        stage.launch('graph-worker', options),
        stage.launch('graph-worker', options),
      ]);
      for (let round = 0; round < ROUNDS; round++) {
        for (const until of ['abort', 'return']) {
          const id = `${until}-${round}`;
          await queue.enqueue({ id, agent: 'gate', payload: { until, ms: 400 } });
          const zombie = await Promise.race(
            workers.map((worker) => worker.until('in-gate', { id }).then(() => worker)),
          );
          await stage.freeze(zombie);
          expect((await queue.waitFor(id, { timeoutMs: 20_000 })).status).toBe('completed');
          const before = [await queue.getTask(id), await queue.history(id), await lineage(queue, id)];
          zombie.kill('SIGCONT');
          await zombie.until('out-of-gate', { id });
          // A whole task of both after that: what the late return led to has happened by now.
          const after = ['x', 'y'].map((name) => `${id}-${name}`);
          await queue.enqueueMany(after.map((next) => ({ id: next, agent: 'steps', payload: { ms: 50 } })));
          await Promise.all(after.map((next) => queue.waitFor(next, { timeoutMs: 20_000 })));
          expect([await queue.getTask(id), await queue.history(id), await lineage(queue, id)]).toEqual(
            before,
          );
          expect(
            stage.log({ id, phase: 'start', node: 'a' }),
            'the finished node is not run again',
          ).toHaveLength(1);
        }
      }
      await Promise.all(workers.map(retire));
      await audit(stage.database);
      await expectGone(stage);
    },
  );

  test(
    'R14: a node that never ends is timed out, its process killed, and its slot free',
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = LEASE;
      const queue = stage.queue();
      const worker = await stage.launch('graph-worker', { concurrency: 1, more: ISOLATED });
      // Its process is kept for the next run: what is timed is not how long a busy machine takes to start one.
      await queue.enqueue({ id: 'first', agent: 'deaf', payload: { ms: 20 } });
      await queue.waitFor('first', { timeoutMs: 20_000 });
      await queue.enqueue({ id: 'late', agent: 'deaf', timeoutMs: 1_500, maxRetries: 0, payload: { ms: 0 } });
      await worker.until('waiting', { id: 'late' });
      await queue.enqueue({ id: 'next', agent: 'steps', payload: { ms: 0 } });
      const late = await queue.waitFor('late', { timeoutMs: 20_000 });
      expect(late).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } });
      expect(late.completedAt! - late.startedAt!).toBeLessThanOrEqual(2_500);
      const next = await queue.waitFor('next', { timeoutMs: 20_000 });
      expect(next.startedAt! - late.completedAt!).toBeLessThanOrEqual(1_000);
      const [{ pid } = { pid: 0 }] = stage.log({ id: 'late', node: 'a' });
      await eventually(
        () => !isAlive(pid),
        5_000,
        () => 'its process lives on',
      );
      await retire(worker);
      expect(await queue.getTask('late')).toEqual(late);
      await audit(stage.database);
    },
  );
});

async function retire(worker: Child): Promise<void> {
  await worker.until('ready');
  worker.kill('SIGTERM');
  expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
}

/** Every process that an agent ran in, by what it wrote itself. */
async function expectGone(stage: Stage): Promise<void> {
  const pids = new Set(stage.log().map(({ pid }) => pid));
  expect(pids.size).toBeGreaterThan(0);
  await eventually(
    () => ![...pids].some(isAlive),
    5_000,
    () => 'processes outlive their workers',
  );
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
