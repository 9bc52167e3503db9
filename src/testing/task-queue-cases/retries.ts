import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { read, refused, statusOf, take, takeStarted } from './steps.ts';

const HOUR_MS = 3_600_000;

export const retryCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'maxRetries n means at most 1 + n runs that fail, then the dead letter with the last error',
    async run({ open, clock }) {
      const queue = open({ retry: { jitter: false, initialInterval: 10 } });
      for (const maxRetries of [0, 1, 3]) {
        const id = await queue.enqueue({ payload: {}, maxRetries });
        let runs = 0;
        for (let task = await queue.dequeue(); task; task = await queue.dequeue()) {
          runs++;
          assert.equal(task.attempt, runs);
          await queue.settle(task, { status: 'failed', error: new Error(`run ${runs}`) });
          await clock.advance(1_000);
        }
        assert.equal(runs, 1 + maxRetries);
        const dead = await read(queue, id);
        assert.deepEqual(
          [dead.status, dead.retryCount, dead.error?.message],
          ['failed', maxRetries, `run ${runs}`],
        );
        assert.notEqual(dead.completedAt, undefined);
      }
    },
  },
  {
    name: 'an attempt that crashed by the word of its worker is charged to maxCrashes, and not to maxRetries',
    async run({ open, clock }) {
      const queue = open({ retry: { jitter: false, initialInterval: 10 } });
      const id = await queue.enqueue({ payload: {}, maxRetries: 0, maxCrashes: 2 });
      const crashed = { status: 'failed', error: new Error('it died'), crashed: true } as const;
      const task = await takeStarted(queue);
      const first = await queue.settle(task, crashed);
      assert.deepEqual([first.status, first.crashes, first.retryCount], ['retrying', 1, 0]);
      assert.deepEqual(await queue.settle(task, crashed), first);
      await clock.advance(1_000);
      await queue.settle(await takeStarted(queue), crashed);
      const dead = await read(queue, id);
      assert.deepEqual([dead.status, dead.crashes, dead.retryCount], ['failed', 2, 0]);
      assert.equal(dead.error?.message, 'it died');
    },
  },
  {
    name: 'retry: false goes to the dead letter at once',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const failed = await queue.settle(await take(queue), {
        status: 'failed',
        error: new Error('bad'),
        retry: false,
      });
      assert.deepEqual([failed.status, failed.retryCount], ['failed', 0]);
    },
  },
  {
    name: 'back-off grows by the factor up to the maximum, and a task may bring its own policy',
    async run({ open, clock }) {
      const queue = open({
        retry: { jitter: false, initialInterval: 100, backoffFactor: 3, maxInterval: 1_000 },
      });
      const waits = async (id: string) => {
        const all: number[] = [];
        for (let i = 0; i < 4; i++) {
          const task = await takeStarted(queue, { ids: [id] });
          const { runAt } = await queue.settle(task, { status: 'failed', error: new Error('x') });
          all.push(runAt - clock.now());
          await clock.advance(runAt - clock.now());
        }
        return all;
      };
      await queue.enqueueMany([
        { payload: {}, id: 'a', maxRetries: 9 },
        { payload: {}, id: 'b', maxRetries: 9, retry: { initialInterval: 7, backoffFactor: 2 } },
      ]);
      assert.deepEqual(await waits('a'), [100, 300, 900, 1_000]);
      assert.deepEqual(await waits('b'), [7, 14, 28, 56]);
    },
  },
  {
    name: 'jitter waits between half of the interval and all of it',
    async run({ open, clock }) {
      for (const [random, expected] of [
        [() => 0, 500],
        [() => 0.5, 750],
        [() => 0.999, 1_000],
      ] as const) {
        const queue = open({ random, retry: { initialInterval: 1_000, jitter: true } });
        const id = await queue.enqueue({ payload: {} });
        const task = await takeStarted(queue, { ids: [id] });
        const failed = await queue.settle(task, { status: 'failed', error: new Error('x') });
        assert.ok(Math.abs(failed.runAt - clock.now() - expected) <= 1);
      }
    },
  },
  {
    name: 'a started task whose lease ran out has crashed: charged apart from failures, and retried with back-off',
    async run({ open, clock }) {
      const queue = open({ leaseMs: 1_000, sweepMs: 100, retry: { jitter: false, initialInterval: 200 } });
      await queue.enqueue({ payload: {}, id: 'a', maxRetries: 0 });
      const held = await takeStarted(queue);
      await clock.advance(1_100);
      const crashed = await read(queue, 'a');
      assert.deepEqual([crashed.status, crashed.crashes, crashed.retryCount], ['retrying', 1, 0]);
      assert.equal(crashed.error?.code, 'WORKER_CRASHED');
      assert.ok(crashed.runAt >= held.lease!.expiresAt + 200);
      await clock.advance(300);
      const again = await take(queue);
      assert.ok(again.lease!.fence > held.lease!.fence);
    },
  },
  {
    name: 'maxCrashes n means failed after exactly n starts that crashed',
    async run({ open, clock }) {
      const queue = open({ leaseMs: 1_000, sweepMs: 100, retry: { initialInterval: 1 } });
      for (const maxCrashes of [1, 3]) {
        const id = await queue.enqueue({ payload: {}, maxCrashes });
        let starts = 0;
        while (await queue.dequeue(undefined, { start: true })) {
          starts++;
          await clock.advance(2_000);
        }
        assert.equal(starts, maxCrashes);
        const dead = await read(queue, id);
        assert.deepEqual(
          [dead.status, dead.crashes, dead.error?.code],
          ['failed', maxCrashes, 'WORKER_CRASHED'],
        );
        assert.equal((await queue.retry(id)).crashes, 0, 'a new life has fresh budgets');
        await queue.cancel(id);
      }
    },
  },
  {
    name: 'a claim that never started costs nothing, however often its lease runs out',
    async run({ open, clock }) {
      const queue = open({ leaseMs: 1_000, sweepMs: 100, maxCrashes: 1 });
      await queue.enqueue({ payload: {}, id: 'a' });
      for (let i = 0; i < 4; i++) {
        await take(queue);
        await clock.advance(1_100);
        assert.equal(await statusOf(queue, 'a'), 'pending');
      }
      const task = await read(queue, 'a');
      assert.deepEqual([task.crashes, task.retryCount, task.attempt], [0, 0, 1]);
    },
  },
  {
    name: 'retry redrives a failed task as a new life with fresh budgets; anything else is refused',
    async run({ open, clock }) {
      const queue = open({ maxRetries: 1, retry: { jitter: false } });
      await queue.enqueue({ payload: {}, id: 'a' });
      await refused(queue.retry('a'), 'INVALID_TRANSITION');
      for (let i = 0; i < 2; i++) {
        await queue.settle(await takeStarted(queue), { status: 'failed', error: new Error('x') });
        await clock.advance(HOUR_MS / 60);
      }
      assert.equal(await statusOf(queue, 'a'), 'failed');
      const redriven = await queue.retry('a');
      assert.deepEqual([redriven.status, redriven.retryCount, redriven.crashes], ['pending', 0, 0]);
      assert.equal(redriven.completedAt, undefined);
      const again = await queue.settle(await takeStarted(queue), { status: 'failed', error: new Error('x') });
      assert.equal(again.status, 'retrying');
      await refused(queue.retry('nobody'), 'TASK_NOT_FOUND');
    },
  },
  {
    name: "updateStatus 'retrying' is refused when the retries are spent, 'failed' is final",
    async run({ open }) {
      const queue = open({ maxRetries: 0 });
      await queue.enqueue({ payload: {}, id: 'a' });
      await take(queue);
      await refused(queue.updateStatus('a', 'retrying', { error: new Error('x') }), 'INVALID_TRANSITION');
      const failed = await queue.updateStatus('a', 'failed', { error: new Error('y') });
      assert.deepEqual([failed.status, failed.error?.message], ['failed', 'y']);
      await refused(queue.updateStatus('a', 'completed'), 'INVALID_TRANSITION');
    },
  },
];
