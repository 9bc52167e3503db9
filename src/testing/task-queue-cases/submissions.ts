import assert from 'node:assert/strict';
import type { NewTask } from '../../queue/task.ts';
import type { TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { QueueHarness } from '../task-queue-conformance.ts';
import { complete, read, refused, takenIds, takeStarted } from './steps.ts';

const ODD = JSON.parse(
  '{"__proto__":{"polluted":true},"constructor":{"prototype":1},"lc":1,"type":"constructor","id":["x"],"kwargs":{"lone":"\\ud800","n":-0.5}}',
);

export const submissionCases: readonly ConformanceCase<QueueHarness>[] = [
  {
    name: 'user JSON comes back as it went in: payload, metadata and result, whatever its keys are called',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: ODD, metadata: ODD, id: 'a' });
      const task = await takeStarted(queue);
      assert.deepEqual(task.payload, ODD);
      await queue.settle(task, { status: 'completed', result: ODD });
      const done = await read(queue, 'a');
      for (const value of [done.payload, done.metadata, done.result]) {
        assert.equal(JSON.stringify(value), JSON.stringify(ODD));
      }
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    },
  },
  {
    name: 'an id that exists with the same content is left as it is, whatever the order of keys',
    async run({ open, clock }) {
      const queue = open();
      await queue.enqueue({ payload: { a: 1, b: { c: 2, d: 3 } }, id: 'x', delayMs: 50 });
      await clock.advance(1_000);
      await complete(queue, 'x');
      const before = await read(queue, 'x');
      assert.equal(await queue.enqueue({ delayMs: 50, id: 'x', payload: { b: { d: 3, c: 2 }, a: 1 } }), 'x');
      assert.deepEqual(await read(queue, 'x'), before);
    },
  },
  {
    name: 'an id that exists with other content is refused, and nothing of the batch is stored',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: { a: 1 }, id: 'x' });
      const variants: NewTask[] = [
        { payload: { a: 2 }, id: 'x' },
        { payload: { a: 1 }, id: 'x', priority: 9 },
        { payload: { a: 1 }, id: 'x', delayMs: 1 },
      ];
      for (const other of variants) {
        const refusal = await refused(
          queue.enqueueMany([{ payload: {}, id: 'new' }, other]),
          'DUPLICATE_TASK',
        );
        assert.equal(refusal.taskId, 'x');
        assert.equal(await queue.getTask('new'), null);
      }
    },
  },
  {
    name: 'a batch may repeat known tasks beside new ones; ids come back in the order given',
    async run({ open }) {
      const queue = open();
      await queue.enqueue({ payload: {}, id: 'b' });
      const batch: NewTask[] = ['a', 'b', 'c', 'a'].map((id) => ({ payload: {}, id }));
      assert.deepEqual(await queue.enqueueMany(batch), ['a', 'b', 'c', 'a']);
      assert.deepEqual(await takenIds(queue), ['b', 'a', 'c']);
    },
  },
  {
    name: 'of many submissions of one id at the same moment one task is stored and each caller gets the id',
    async run({ open }) {
      const queue = open();
      const ids = await Promise.all(
        Array.from({ length: 50 }, () => queue.enqueue({ payload: { n: 1 }, id: 'x' })),
      );
      assert.deepEqual(new Set(ids), new Set(['x']));
      assert.equal((await queue.stats()).counts.pending, 1);
    },
  },
  {
    name: 'tasks without an id get one of their own',
    async run({ open }) {
      const queue = open();
      const ids = await queue.enqueueMany([{ payload: {} }, { payload: {} }]);
      assert.equal(new Set(ids).size, 2);
      for (const id of ids) assert.match(id, /^[A-Za-z0-9_.:-]{1,128}$/);
    },
  },
  {
    name: 'a damaged submission ends as failed with STORE_CORRUPT, and the others run on',
    async run({ wrapped }) {
      const queue = wrapped((store) => damaging(store, 'bad'));
      await queue.enqueueMany(['bad', 'good'].map((id) => ({ payload: { id }, id })));
      assert.deepEqual(await takenIds(queue), ['good']);
      const bad = await read(queue, 'bad');
      assert.equal(bad.status, 'failed');
      assert.equal(bad.error?.code, 'STORE_CORRUPT');
    },
  },
  {
    name: 'what was acknowledged is there after close and open, leases and history too',
    needs: 'durable',
    async run({ open, clock }) {
      const first = open({ owner: 'first' });
      await first.enqueueMany([
        { payload: {}, id: 'a' },
        { payload: {}, id: 'b', dependsOn: ['a'] },
      ]);
      const task = await takeStarted(first);
      await first.close();
      const second = open({ owner: 'second' });
      assert.equal((await read(second, 'a')).lease?.owner, 'first');
      await clock.advance(1);
      await second.settle(task, { status: 'completed', result: 1 });
      assert.deepEqual(await takenIds(second), ['b']);
    },
  },
  {
    name: 'ended tasks are purged after retentionMs with their history, and the id is new again',
    async run({ open, clock }) {
      const queue = open({ retentionMs: 60_000, sweepMs: 5_000 });
      const purged: string[] = [];
      queue.on('purged', (ids) => purged.push(...ids));
      await queue.enqueueMany([
        { payload: { old: true }, id: 'a' },
        { payload: {}, id: 'alive' },
      ]);
      await complete(queue, 'a');
      await clock.advance(55_000);
      assert.equal((await read(queue, 'a')).status, 'completed');
      await clock.advance(15_000);
      assert.equal(await queue.getTask('a'), null);
      assert.deepEqual(purged, ['a']);
      assert.deepEqual(await queue.history('a'), []);
      assert.ok(await queue.getTask('alive'));
      await queue.enqueue({ payload: { old: false }, id: 'a' });
      assert.deepEqual((await read(queue, 'a')).payload, { old: false });
    },
  },
];

/** The store as it would answer if one byte of this task's stored submission had flipped. */
function damaging(store: TaskStore, id: string): TaskStore {
  const claim: TaskStore['claim'] = async (wanted) => {
    const records = await store.claim(wanted);
    return records.map((record) =>
      record.id === id
        ? { ...record, submission: record.submission.replace(`"${id}"`, `"${id.toUpperCase()}"`) }
        : record,
    );
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'claim') return claim;
      if (name === 'isInProcess') return false;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}
