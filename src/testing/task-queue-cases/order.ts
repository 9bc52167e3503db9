import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { refused, take, takenIds } from './steps.ts';

export const orderCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'higher priorities go first, equal ones first in, first out',
    async run({ open }) {
      const queue = open();
      const given = [
        ['z', 5],
        ['low', 'low'],
        ['top', 10],
        ['a', 5],
      ] as const;
      for (const [id, priority] of given) await queue.enqueue({ payload: {}, id, priority });
      assert.deepEqual(await takenIds(queue), ['top', 'z', 'a', 'low']);
    },
  },
  {
    name: 'a level of priority is worth agingMs of waiting, so that nothing starves',
    async run({ open, clock }) {
      const queue = open({ agingMs: 60_000 });
      await queue.enqueue({ payload: {}, id: 'old', priority: 4 });
      await clock.advance(59_999);
      await queue.enqueue({ payload: {}, id: 'just-in-time', priority: 5 });
      await clock.advance(2);
      await queue.enqueue({ payload: {}, id: 'too-late', priority: 5 });
      assert.deepEqual(await takenIds(queue), ['just-in-time', 'old', 'too-late']);
    },
  },
  {
    name: 'with agingMs Infinity priority is strict, however long others have waited',
    async run({ open, clock }) {
      const queue = open({ agingMs: Number.POSITIVE_INFINITY });
      await queue.enqueue({ payload: {}, id: 'old', priority: 4 });
      await clock.advance(10_000_000);
      await queue.enqueue({ payload: {}, id: 'new', priority: 5 });
      assert.deepEqual(await takenIds(queue), ['new', 'old']);
    },
  },
  {
    name: 'a delayed task waits for its time, and its waiting counts from then on',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'delayed', delayMs: 1_000 });
      await queue.enqueue({ payload: {}, id: 'at', runAt: clock.now() + 500 });
      assert.deepEqual(await takenIds(queue), []);
      await clock.advance(700);
      await queue.enqueue({ payload: {}, id: 'later' });
      await clock.advance(300);
      assert.deepEqual(await takenIds(queue), ['at', 'later', 'delayed']);
    },
  },
  {
    name: 'available is told when a delayed task falls due, without anybody asking',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'delayed', delayMs: 350 });
      let told = 0;
      queue.on('available', () => told++);
      await clock.advance(340);
      const before = told;
      await clock.advance(10);
      assert.ok(told > before);
      assert.equal((await take(queue)).id, 'delayed');
    },
  },
  {
    name: 'filters by agent type, priority and id take what they name, in order',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'a', agentType: 'x', priority: 3 },
        { payload: {}, id: 'b', agentType: 'y', priority: 9 },
        { payload: {}, id: 'c' },
        { payload: {}, id: 'd', agentType: 'x', priority: 8 },
      ]);
      assert.deepEqual(await takenIds(queue, { agentType: 'z' }), []);
      assert.deepEqual(await takenIds(queue, { agentType: ['x', 'y'], priorityMin: 8 }), ['b', 'd']);
      assert.deepEqual(await takenIds(queue, { ids: ['c', 'b'] }), ['c']);
      assert.deepEqual(await takenIds(queue, { agentType: 'x' }), ['a']);
    },
  },
  {
    name: 'a filter with a field nobody knows is refused, not ignored',
    async run({ open }) {
      const queue = open();
      await refused(queue.dequeue({ status: 'pending' } as object), 'INVALID_OPTION');
      await refused(queue.dequeue(null as unknown as object), 'INVALID_OPTION');
      await refused(queue.dequeue({}, null as unknown as object), 'INVALID_OPTION');
      await refused(queue.dequeueMany(0), 'INVALID_OPTION');
    },
  },
  {
    name: 'many workers at the same moment never get the same task',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany(Array.from({ length: 100 }, (_, i) => ({ payload: {}, id: `t${i}` })));
      const held = await Promise.all(Array.from({ length: 30 }, () => queue.dequeueMany(4)));
      const ids = held.flat().map((task) => task.id);
      assert.equal(ids.length, 100);
      assert.equal(new Set(ids).size, 100);
    },
  },
  {
    name: 'priorityMin takes names as priorities do, and refuses what is none',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany([
        { payload: {}, id: 'low', priority: 'low' },
        { payload: {}, id: 'high', priority: 'high' },
        { payload: {}, id: 'top', priority: 10 },
      ]);
      for (const priorityMin of ['urgent', Number.NaN, 0, 11, 2.5, null])
        await refused(queue.dequeue({ priorityMin: priorityMin as number }), 'INVALID_OPTION');
      await refused(queue.dequeue({ agentType: 5 as unknown as string }), 'INVALID_OPTION');
      await refused(queue.dequeue({ ids: [5 as unknown as string] }), 'INVALID_OPTION');
      await refused(queue.dequeue({ ids: 'top' as unknown as string[] }), 'INVALID_OPTION');
      assert.deepEqual(await takenIds(queue, { priorityMin: 'high' }), ['top', 'high']);
    },
  },
  {
    name: 'dequeueMany gives as many as it was asked for, also beyond one claim',
    async run({ open }) {
      const queue = open();
      await queue.enqueueMany(Array.from({ length: 1_300 }, (_, i) => ({ payload: {}, id: `t${i}` })));
      const held = await queue.dequeueMany(1_200);
      assert.equal(new Set(held.map((task) => task.id)).size, 1_200);
      assert.equal((await queue.dequeueMany(5_000)).length, 100);
    },
  },
];
