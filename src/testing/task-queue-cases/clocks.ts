import assert from 'node:assert/strict';
import type { TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, endings, fail, read, refused, statusOf, take, takeStarted } from './steps.ts';

/** Nothing but an alarm wakes the queue in time. */
const RARE = { sweepMs: 3_600_000 };

export const clockCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'a task that waits too long for its start ends as EXPIRED, near its time, though nobody asks',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueue({ payload: {}, id: 'a', expiresInMs: 1_000 });
      await clock.advance(999);
      assert.equal(await statusOf(queue, 'a'), 'pending');
      await clock.advance(100);
      const ended = await read(queue, 'a');
      assert.deepEqual([ended.status, ended.error?.code], ['failed', 'EXPIRED']);
      assert.deepEqual(await endings(queue, 'a'), ['failed']);
      assert.equal(await queue.dequeue(), null);
    },
  },
  {
    name: 'one whose time is over, and whose end nobody has recorded yet, is not said to be free',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueueMany([
        { payload: {}, id: 'expired', expiresInMs: 1_000 },
        { payload: {}, id: 'over', deadline: clock.now() + 1_000 },
        { payload: {}, id: 'free', expiresInMs: 10_000 },
      ]);
      clock.jump(2_000);
      const codes = async (id: string) => (await queue.explain(id)).blockers.map(({ code }) => code);
      assert.deepEqual(await codes('expired'), ['OVERDUE']);
      assert.deepEqual(await codes('over'), ['OVERDUE']);
      assert.deepEqual(await codes('free'), []);
      assert.deepEqual(
        (await queue.dequeueMany(9)).map(({ id }) => id),
        ['free'],
      );
      assert.deepEqual([await codes('expired'), await codes('over')], [['ENDED'], ['ENDED']]);
    },
  },
  {
    name: 'one whose time is over while another is ended for that ends then, too',
    async run({ wrapped, clock }) {
      let passes = true;
      const slowly = (store: TaskStore): TaskStore => {
        const { alarmed } = store;
        store.alarmed = async (...given) => {
          const found = await alarmed.apply(store, given);
          if (passes) clock.jump(10);
          passes = false;
          return found;
        };
        return store;
      };
      const queue = wrapped(slowly, RARE);
      await queue.enqueue({ payload: {}, id: 'first', expiresInMs: 1_000 });
      await queue.enqueue({ payload: {}, id: 'second', expiresInMs: 1_005, onExpiry: 'skip' });
      await clock.advance(1_000);
      await clock.advance(100);
      assert.deepEqual(
        [await statusOf(queue, 'first'), await statusOf(queue, 'second')],
        ['failed', 'skipped'],
      );
    },
  },
  {
    name: 'onExpiry skip ends it as skipped; either end is seen by what depends on it',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueueMany([
        { payload: {}, id: 'skips', expiresInMs: 100, onExpiry: 'skip' },
        { payload: {}, id: 'fails', expiresInMs: 100 },
        { payload: {}, id: 'after-skip', dependsOn: ['skips'] },
        { payload: {}, id: 'always', dependsOn: [{ id: 'skips', on: 'completion' }] },
        { payload: {}, id: 'rescue', dependsOn: [{ id: 'fails', on: 'failure' }] },
      ]);
      await clock.advance(200);
      const ids = ['skips', 'fails', 'after-skip', 'always', 'rescue'];
      const statuses = await Promise.all(ids.map((id) => statusOf(queue, id)));
      assert.deepEqual(statuses, ['skipped', 'failed', 'skipped', 'pending', 'pending']);
      assert.deepEqual((await queue.dequeueMany(9)).map(({ id }) => id).sort(), ['always', 'rescue']);
    },
  },
  {
    name: 'the time to expire counts from runAt, and goes on while dependencies are waited for',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueueMany([
        { payload: {}, id: 'delayed', delayMs: 1_000, expiresInMs: 500 },
        { payload: {}, id: 'first' },
        { payload: {}, id: 'blocked', dependsOn: ['first'], expiresInMs: 500 },
      ]);
      await clock.advance(600);
      assert.deepEqual(
        [await statusOf(queue, 'delayed'), await statusOf(queue, 'blocked')],
        ['pending', 'failed'],
      );
      await clock.advance(1_000);
      assert.equal(await statusOf(queue, 'delayed'), 'failed');
    },
  },
  {
    name: 'a task that has begun expires no more, whatever becomes of its attempt',
    async run({ open, clock }) {
      const queue = open({ ...RARE, retry: { jitter: false, initialInterval: 5_000 } });
      for (const id of ['fails', 'released', 'asks']) {
        await queue.enqueue({ payload: {}, id, expiresInMs: 1_000 });
      }
      const error = new Error('again');
      await queue.settle(await takeStarted(queue, { ids: ['fails'] }), { status: 'failed', error });
      const later = { status: 'released', runAt: clock.now() + 5_000 } as const;
      await queue.settle(await takeStarted(queue, { ids: ['released'] }), later);
      const interrupts = [{ id: 'q', value: 'sure?' }];
      await queue.settle(await takeStarted(queue, { ids: ['asks'] }), { status: 'waiting', interrupts });
      await clock.advance(2_000);
      await queue.answer('asks', 'q', true);
      await clock.advance(4_000);
      const taken = await queue.dequeueMany(9);
      assert.deepEqual(taken.map(({ id }) => id).sort(), ['asks', 'fails', 'released']);
    },
  },
  {
    name: 'what was handed back before it began goes on waiting, and expires',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueueMany([
        { payload: {}, id: 'handed', expiresInMs: 1_000 },
        { payload: {}, id: 'claimed', expiresInMs: 1_000 },
      ]);
      const handed = await takeStarted(queue, { ids: ['handed'] });
      await queue.settle(handed, { status: 'released', hasBegun: false });
      await queue.settle(await take(queue, { ids: ['claimed'] }), { status: 'released' });
      await clock.advance(1_100);
      assert.deepEqual(
        [await statusOf(queue, 'handed'), await statusOf(queue, 'claimed')],
        ['failed', 'failed'],
      );
    },
  },
  {
    name: 'a claim that comes before the alarm does not get what has no time left',
    async run({ wrapped, clock }) {
      const queue = wrapped(withoutAlarms, RARE);
      await queue.enqueueMany([
        { payload: {}, id: 'expired', expiresInMs: 100, onExpiry: 'skip' },
        { payload: {}, id: 'over', deadline: clock.now() + 100 },
        { payload: {}, id: 'fine', priority: 1 },
      ]);
      await clock.advance(1_000);
      assert.equal(await statusOf(queue, 'over'), 'pending');
      const taken = await queue.dequeueMany(9, {}, { start: true });
      const ids = taken.map(({ id }) => id);
      assert.deepEqual(ids, ['fine']);
      const over = await read(queue, 'over');
      assert.deepEqual([await statusOf(queue, 'expired'), over.status], ['skipped', 'failed']);
      assert.equal(over.error?.code, 'DEADLINE_EXCEEDED');
    },
  },
  {
    name: 'a redriven task has its time to expire anew, and waits again for what it waited for',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueueMany([
        { payload: {}, id: 'first' },
        { payload: {}, id: 'a', dependsOn: ['first'], expiresInMs: 1_000 },
      ]);
      await clock.advance(1_100);
      assert.equal(await statusOf(queue, 'a'), 'failed');
      const revived = await queue.retry('a');
      assert.deepEqual([revived.status, revived.blockedBy], ['pending', ['first']]);
      await clock.advance(900);
      await complete(queue, 'first');
      assert.equal((await take(queue)).id, 'a');
      await queue.enqueue({ payload: {}, id: 'b', expiresInMs: 500 });
      for (let life = 0; life < 3; life++) {
        await clock.advance(600);
        assert.equal((await read(queue, 'b')).error?.code, 'EXPIRED');
        await queue.retry('b');
      }
    },
  },
  {
    name: 'a redriven task that waited for any of several waits for any of them again',
    async run({ open, clock }) {
      const queue = open(RARE);
      const dependsOn = ['first', 'second'];
      await queue.enqueueMany([
        { payload: {}, id: 'first' },
        { payload: {}, id: 'second' },
        { payload: {}, id: 'a', dependsOn, join: 'any', expiresInMs: 1_000 },
        { payload: {}, id: 'b', dependsOn, join: 'any', expiresInMs: 1_000 },
      ]);
      await clock.advance(1_100);
      assert.deepEqual((await queue.retry('a')).blockedBy, dependsOn);
      await queue.cancel('first');
      assert.deepEqual((await read(queue, 'a')).blockedBy, ['second']);
      // What is lost already is no reason to skip it, while another may still hold.
      assert.deepEqual((await queue.retry('b')).blockedBy, ['second']);
      await complete(queue, 'second');
      assert.deepEqual((await queue.dequeueMany(9)).map(({ id }) => id).sort(), ['a', 'b']);
    },
  },
  {
    name: 'a deadline ends what waits: ready, delayed, blocked, backing off, asking',
    async run({ open, clock }) {
      const queue = open({ ...RARE, retry: { jitter: false, initialInterval: 60_000 } });
      const deadline = clock.now() + 1_000;
      await queue.enqueueMany([
        { payload: {}, id: 'retrying', deadline },
        { payload: {}, id: 'asking', deadline },
        { payload: {}, id: 'ready', deadline },
        { payload: {}, id: 'delayed', deadline, delayMs: 5_000 },
        { payload: {}, id: 'blocked', deadline, dependsOn: ['ready'] },
      ]);
      const error = new Error('again');
      await queue.settle(await takeStarted(queue, { ids: ['retrying'] }), { status: 'failed', error });
      const interrupts = [{ id: 'q', value: 1 }];
      await queue.settle(await takeStarted(queue, { ids: ['asking'] }), { status: 'waiting', interrupts });
      await clock.advance(1_100);
      for (const id of ['retrying', 'asking', 'ready', 'delayed']) {
        const task = await read(queue, id);
        assert.deepEqual([id, task.status, task.error?.code], [id, 'failed', 'DEADLINE_EXCEEDED']);
        assert.equal(task.interrupts, undefined);
      }
      assert.ok(['failed', 'skipped'].includes((await read(queue, 'blocked')).status));
      await refused(queue.answer('asking', 'q', 2), 'UNKNOWN_INTERRUPT');
      await refused(queue.retry('ready'), 'INVALID_TRANSITION');
    },
  },
  {
    name: 'a deadline bounds the lease: a worker that is gone, or heartbeats on, does not outlast it',
    async run({ open, clock }) {
      const queue = open({ leaseMs: 30_000, sweepMs: 1_000 });
      const deadline = clock.now() + 5_000;
      await queue.enqueueMany([
        { payload: {}, id: 'gone', deadline },
        { payload: {}, id: 'beating', deadline },
      ]);
      const gone = await takeStarted(queue, { ids: ['gone'] });
      assert.equal(gone.lease?.expiresAt, deadline);
      const beating = await takeStarted(queue, { ids: ['beating'] });
      await clock.advance(2_000);
      assert.equal((await queue.heartbeat(beating)).lease?.expiresAt, deadline);
      await clock.advance(4_500);
      await refused(queue.heartbeat(beating), 'LEASE_LOST');
      for (const id of ['gone', 'beating'])
        assert.deepEqual((await read(queue, id)).error?.code, 'DEADLINE_EXCEEDED');
    },
  },
  {
    name: 'a failure after the deadline is not tried again',
    async run({ open, clock }) {
      const queue = open(RARE);
      await queue.enqueue({ payload: {}, id: 'a', deadline: clock.now() + 500 });
      const held = await takeStarted(queue);
      await clock.advance(600);
      const settled = await queue.settle(held, { status: 'failed', error: new Error('too late') });
      assert.deepEqual([settled.status, settled.error?.code], ['failed', 'DEADLINE_EXCEEDED']);
    },
  },
  {
    name: 'a clock that was stopped in time does not ring, and an end is an end',
    async run({ open, clock }) {
      const queue = open(RARE);
      const deadline = clock.now() + 1_000;
      await queue.enqueueMany([
        { payload: {}, id: 'done', deadline, expiresInMs: 500 },
        { payload: {}, id: 'broken', deadline },
        { payload: {}, id: 'cancelled', deadline },
      ]);
      await complete(queue, 'done');
      await fail(queue, 'broken');
      await queue.cancel('cancelled');
      await clock.advance(5_000);
      for (const [id, end] of [
        ['done', 'completed'],
        ['broken', 'failed'],
        ['cancelled', 'cancelled'],
      ] as const)
        assert.deepEqual(await endings(queue, id), [end]);
      assert.equal((await read(queue, 'broken')).error?.code, undefined);
    },
  },
  {
    name: 'times that are none are refused at their place',
    async run({ open }) {
      const queue = open();
      for (const [field, value] of [
        ['expiresInMs', 0],
        ['expiresInMs', '5m'],
        ['onExpiry', 'retry'],
        ['deadline', Number.NaN],
        ['deadline', -1],
        ['idleTimeoutMs', 0],
      ] as const) {
        const bad = { payload: {}, [field]: value };
        const error = await refused(queue.enqueueMany([{ payload: {} }, bad as never]), 'INVALID_TASK');
        assert.equal(error.path, `tasks[1].${field}`);
      }
      assert.deepEqual((await queue.listTasks()).tasks, []);
    },
  },
];

/** A store that nothing wakes. */
function withoutAlarms(store: TaskStore): TaskStore {
  return new Proxy(store, {
    get(target, key) {
      if (key === 'outlook')
        return async (now: number) => ({
          ...(await target.outlook(now)),
          hasAlarmed: false,
          nextDueAt: null,
        });
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
