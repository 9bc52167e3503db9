import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { read, refused, statusOf, take, takeStarted } from './steps.ts';

const QUICK = { leaseMs: 1_000, sweepMs: 100 } as const;

export const leaseCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'a lease names its owner, its end and a fence that rises with each claim',
    async run({ open, clock }) {
      const queue = open({ owner: 'me' });
      await queue.enqueue({ payload: {}, id: 'a' });
      const first = await take(queue);
      assert.equal(first.lease?.owner, 'me');
      assert.equal(first.lease?.expiresAt, clock.now() + 30_000);
      await queue.settle(first, { status: 'released' });
      assert.ok((await take(queue)).lease!.fence > first.lease!.fence);
    },
  },
  {
    name: 'heartbeats keep a task as long as they come',
    async run({ open, clock }) {
      const queue = open(QUICK);
      await queue.enqueue({ payload: {}, id: 'a' });
      let task = await takeStarted(queue);
      for (let i = 0; i < 8; i++) {
        await clock.advance(600);
        task = await queue.heartbeat(task);
        assert.equal(task.lease?.expiresAt, clock.now() + 1_000);
      }
      await queue.settle(task, { status: 'completed' });
      assert.equal((await read(queue, 'a')).crashes, 0);
    },
  },
  {
    name: 'a jump of the time of day takes no lease that is renewed; one that is not is over a lease later',
    async run({ open, clock }) {
      const queue = open(QUICK);
      await queue.enqueueMany(['well', 'dead'].map((id) => ({ payload: {}, id })));
      let well = await takeStarted(queue);
      await takeStarted(queue);
      clock.jump(3_600_000);
      for (let i = 0; i < 5; i++) {
        await clock.advance(300);
        well = await queue.heartbeat(well);
      }
      assert.equal(await statusOf(queue, 'dead'), 'retrying');
      assert.equal((await read(queue, 'well')).lease?.fence, well.lease?.fence);
      await queue.settle(well, { status: 'completed' });
    },
  },
  {
    name: 'after the lease was lost, heartbeat, start and every outcome are refused',
    async run({ open, clock }) {
      const queue = open({ ...QUICK, retry: { initialInterval: 1 } });
      await queue.enqueue({ payload: {}, id: 'a' });
      const zombie = await takeStarted(queue);
      await clock.advance(1_200);
      const holder = await takeStarted(queue);
      assert.deepEqual(await queue.heartbeatMany([zombie, holder]).then(([a, b]) => [a, b?.id]), [null, 'a']);
      await refused(queue.heartbeat(zombie), 'LEASE_LOST');
      await refused(queue.start(zombie), 'LEASE_LOST');
      await refused(queue.start({ ...holder, lease: zombie.lease! }), 'LEASE_LOST');
      await refused(queue.settle(zombie, { status: 'completed', result: 1 }), 'LEASE_LOST');
      await refused(queue.settle(zombie, { status: 'failed', error: new Error('late') }), 'LEASE_LOST');
      await refused(queue.settle(zombie, { status: 'released' }), 'LEASE_LOST');
      await queue.settle(holder, { status: 'completed', result: 2 });
      assert.equal((await read(queue, 'a')).result, 2);
    },
  },
  {
    name: 'a late outcome is refused also while nobody has taken over',
    async run({ open, clock }) {
      const queue = open(QUICK);
      await queue.enqueue({ payload: {}, id: 'a' });
      const zombie = await takeStarted(queue);
      await clock.advance(1_100);
      assert.equal(await statusOf(queue, 'a'), 'retrying');
      await refused(queue.settle(zombie, { status: 'completed', result: 1 }), 'LEASE_LOST');
    },
  },
  {
    name: 'a stale task object settles: the fence decides, not the version in hand',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'a' });
      const first = await take(queue);
      await queue.start(first);
      await queue.heartbeat(first);
      await queue.updateStatus('a', 'in_progress', { progress: { step: 1 } });
      assert.equal((await queue.settle(first, { status: 'completed', result: 1 })).status, 'completed');
    },
  },
  {
    name: 'an attempt that heartbeats beyond its timeoutMs is ended as a failure with code TIMEOUT',
    async run({ open, clock }) {
      const queue = open({ ...QUICK, retry: { jitter: false } });
      await queue.enqueue({ payload: {}, id: 'a', timeoutMs: 2_000 });
      const task = await takeStarted(queue);
      for (let i = 0; i < 3; i++) {
        await clock.advance(600);
        await queue.heartbeat(task);
      }
      await clock.advance(600);
      await refused(queue.heartbeat(task), 'LEASE_LOST');
      const failed = await read(queue, 'a');
      assert.deepEqual([failed.status, failed.retryCount, failed.crashes], ['retrying', 1, 0]);
      assert.equal(failed.error?.code, 'TIMEOUT');
    },
  },
  {
    name: "the nearest timeoutMs wins: the task's, its type's, the queue's",
    async run({ open, clock }) {
      const queue = open({ leaseMs: 100_000, timeoutMs: 3_000, agentTypes: { slow: { timeoutMs: 2_000 } } });
      await queue.enqueueMany([
        { payload: {}, id: 'own', agentType: 'slow', timeoutMs: 1_000 },
        { payload: {}, id: 'type', agentType: 'slow' },
        { payload: {}, id: 'queue' },
      ]);
      const held = await queue.dequeueMany(3, undefined, { start: true });
      const alive = async () => (await queue.heartbeatMany(held)).map((task) => task !== null);
      await clock.advance(999);
      assert.deepEqual(await alive(), [true, true, true]);
      await clock.advance(1);
      assert.deepEqual(await alive(), [false, true, true]);
      await clock.advance(1_000);
      assert.deepEqual(await alive(), [false, false, true]);
      await clock.advance(1_000);
      assert.deepEqual(await alive(), [false, false, false]);
    },
  },
  {
    name: 'a cancelled holder is told by leaseLost, and can write no more',
    async run({ open }) {
      const queue = open();
      const lost: unknown[] = [];
      queue.on('leaseLost', (event) => lost.push(event));
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      await queue.cancel('a', 'not needed');
      assert.deepEqual(lost, [{ taskId: 'a', fence: task.lease!.fence, reason: 'cancelled' }]);
      await refused(queue.heartbeat(task), 'LEASE_LOST');
      await refused(queue.settle(task, { status: 'completed' }), 'LEASE_LOST');
      assert.equal((await queue.history('a')).at(-1)?.reason, 'not needed');
    },
  },
  {
    name: 'a task that waits for a person holds no lease and goes on after each answer',
    async run({ open, clock }) {
      const queue = open(QUICK);
      await queue.enqueue({ payload: {}, id: 'a' });
      const interrupts = [
        { id: 'q1', value: { ask: 'sure?' } },
        { id: 'q2', value: 'which?' },
      ];
      const waiting = await queue.settle(await takeStarted(queue), { status: 'waiting', interrupts });
      assert.deepEqual([waiting.status, waiting.lease], ['waiting', undefined]);
      assert.deepEqual(
        waiting.interrupts?.map(({ id, value }) => ({ id, value })),
        interrupts,
      );
      await clock.advance(60_000);
      assert.equal(await queue.dequeue(), null);
      assert.equal((await queue.answer('a', 'q1', { yes: true })).status, 'pending');
      const again = await takeStarted(queue);
      assert.deepEqual(
        again.answers?.map(({ id, value }) => ({ id, value })),
        [{ id: 'q1', value: { yes: true } }],
      );
      assert.deepEqual([again.retryCount, again.crashes], [0, 0]);
      await queue.answer('a', 'q1', { yes: true });
      await assert.rejects(queue.answer('a', 'q1', { yes: false }));
      await assert.rejects(queue.answer('a', 'nothing', 1));
      await queue.settle(again, { status: 'completed', result: 'fine' });
      assert.equal(await statusOf(queue, 'a'), 'completed');
    },
  },
  {
    name: 'an attempt that heartbeats no more is ended with its timeoutMs, long before its lease',
    async run({ open, clock }) {
      const queue = open({ sweepMs: 100, retry: { jitter: false } });
      await queue.enqueueMany(['claimed', 'started'].map((id) => ({ payload: {}, id, timeoutMs: 2_000 })));
      const claimed = await takeStarted(queue);
      const started = await queue.start(await take(queue));
      const end = clock.now() + 2_000;
      for (const task of [claimed, started]) assert.equal(task.lease?.expiresAt, end);
      await clock.advance(1_500);
      assert.equal((await queue.heartbeat(started)).lease?.expiresAt, end);
      await clock.advance(500);
      for (const id of ['claimed', 'started']) {
        const failed = await read(queue, id);
        assert.deepEqual([failed.status, failed.retryCount, failed.crashes], ['retrying', 1, 0], id);
        assert.equal(failed.error?.code, 'TIMEOUT');
      }
    },
  },
  {
    name: 'a result that comes after timeoutMs and before the sweep is taken',
    async run({ open, clock }) {
      const queue = open({ sweepMs: 5_000 });
      await queue.enqueue({ payload: {}, id: 'a', timeoutMs: 2_000 });
      const task = await takeStarted(queue);
      await clock.advance(3_000);
      assert.equal((await queue.settle(task, { status: 'completed', result: 1 })).status, 'completed');
    },
  },
  {
    name: "an agent's choice gives the lease anew: the queue's timeoutMs is the worker's to keep from then on",
    async run({ open, clock }) {
      const queue = open({ sweepMs: 100, timeoutMs: 1_000 });
      await queue.enqueue({ payload: {}, id: 'a' });
      const task = await takeStarted(queue);
      assert.equal(task.lease?.expiresAt, clock.now() + 1_000);
      const assigned = await queue.assign(task, { agent: 'ada', scores: [] });
      assert.equal(assigned.lease?.expiresAt, clock.now() + 30_000);
      await clock.advance(20_000);
      assert.equal(await statusOf(queue, 'a'), 'in_progress');
    },
  },
  {
    name: 'a start is refused by the lease as it is, not as it was remembered',
    needs: 'shared',
    async run({ open }) {
      const [here, there] = [open({ owner: 'here' }), open({ owner: 'there' })];
      await here.enqueue({ payload: {}, id: 'a' });
      const held = await takeStarted(there);
      await here.cancel('a');
      await refused(there.start(held), 'LEASE_LOST');
      await refused(there.updateStatus('a', 'in_progress'), 'INVALID_TRANSITION');
    },
  },
];
