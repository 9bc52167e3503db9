import assert from 'node:assert/strict';
import type { TaskState } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aChange,
  change,
  claimIds,
  claimOne,
  end,
  insertIds,
  NO_EFFECTS,
  NOW,
  read,
  statuses,
} from './steps.ts';

const ODD_JSON = [
  '{"__proto__":{"polluted":true},"constructor":1,"toString":null}',
  '{"lc":1,"type":"constructor","id":["langchain"],"kwargs":{}}',
  '"\\ud800 lone, \\u0000 null, \\u2028 line"',
  '[1.0,1e400,-0,12345678901234567890, "☃ 😀 \u2028"]',
  '{ "spaces" : [ ] ,\n "empty":{} }',
  'null',
  '""',
];

const EVERY_FIELD: TaskState = {
  status: 'in_progress',
  runAt: NOW + 1,
  retryCount: 2,
  crashes: 3,
  fence: 41,
  owner: "o'wner; DROP TABLE",
  leaseExpiresAt: NOW + 2,
  alarmAt: null,
  startedAt: NOW + 3,
  completedAt: NOW + 4,
  result: '{"r":1}',
  details: '{"d":2}',
};

export const applyCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a change is written whole, raises the version by one and returns the record as it stands',
    async run({ store }) {
      await insertIds(store, ['a']);
      const before = await read(store, 'a');
      const { record, effects } = await change(store, before, EVERY_FIELD);
      assert.deepEqual(record, { ...before, ...EVERY_FIELD, version: before.version + 1, events: 2 });
      assert.deepEqual(await read(store, 'a'), record);
      assert.deepEqual(effects, NO_EFFECTS);
    },
  },
  {
    name: 'every field of a state can go back to null',
    async run({ store }) {
      await insertIds(store, ['a']);
      const before = await read(store, 'a');
      const { record } = await change(store, before, EVERY_FIELD);
      const nulls = {
        owner: null,
        leaseExpiresAt: null,
        startedAt: null,
        completedAt: null,
        result: null,
        details: null,
      };
      const after = await change(store, record, {
        ...nulls,
        status: 'pending',
        retryCount: 0,
        crashes: 0,
        runAt: NOW,
      });
      assert.deepEqual(after.record, { ...before, fence: 41, version: before.version + 2, events: 3 });
      assert.deepEqual(await read(store, 'a'), after.record);
    },
  },
  {
    name: 'JSON text comes back byte for byte, whatever it says',
    async run({ store }) {
      await insertIds(store, ['a']);
      for (const text of ODD_JSON) {
        const before = await read(store, 'a');
        await change(store, before, { result: text, details: text });
        const after = await read(store, 'a');
        assert.equal(after.result, text);
        assert.equal(after.details, text);
      }
      assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    },
  },
  {
    name: 'a text of four million characters comes back whole',
    async run({ store }) {
      await insertIds(store, ['a']);
      const text = JSON.stringify('0123456789abcde☃'.repeat(262_144));
      await change(store, await read(store, 'a'), { result: text });
      assert.ok((await read(store, 'a')).result === text);
    },
  },
  {
    name: 'a stale version is refused with null and nothing is written, no event either',
    async run({ store }) {
      await insertIds(store, ['a']);
      const stale = await read(store, 'a');
      const { record } = await change(store, stale, { retryCount: 1 });
      const events = await store.history('a');
      assert.deepEqual(await store.apply([aChange(stale, { status: 'completed', completedAt: NOW })], NOW), [
        null,
      ]);
      assert.deepEqual(
        await store.apply([{ ...aChange(record, { retryCount: 9 }), version: record.version + 1 }], NOW),
        [null],
      );
      assert.deepEqual(await read(store, 'a'), record);
      assert.deepEqual(await store.history('a'), events);
    },
  },
  {
    name: 'a change of a task that does not exist is refused with null',
    async run({ store }) {
      await insertIds(store, ['a']);
      const record = await read(store, 'a');
      assert.deepEqual(await store.apply([{ ...aChange(record, { retryCount: 1 }), id: 'nobody' }], NOW), [
        null,
      ]);
      assert.deepEqual(await store.get(['nobody']), [null]);
    },
  },
  {
    name: 'each change stands for itself: the answers come in order, refused ones between taken ones',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      const [a, b, c] = (await store.get(['a', 'b', 'c'])).map((record) => record!);
      await change(store, b!, { retryCount: 1 });
      const applied = await store.apply(
        [c!, b!, a!].map((record) => aChange(record, { status: 'cancelled', completedAt: NOW })),
        NOW,
      );
      assert.deepEqual(
        applied.map((one) => one?.record.id ?? null),
        ['c', null, 'a'],
      );
      assert.deepEqual(await statuses(store, ['a', 'b', 'c']), {
        a: 'cancelled',
        b: 'pending',
        c: 'cancelled',
      });
    },
  },
  {
    name: 'two changes of one task in one call: the first wins, the second is stale',
    async run({ store }) {
      await insertIds(store, ['a']);
      const record = await read(store, 'a');
      const applied = await store.apply(
        [aChange(record, { retryCount: 1 }), aChange(record, { retryCount: 2 })],
        NOW,
      );
      assert.equal(applied[0]?.record.retryCount, 1);
      assert.equal(applied[1], null);
      assert.equal((await read(store, 'a')).retryCount, 1);
    },
  },
  {
    name: 'of many changes of one version at the same moment exactly one is taken',
    async run({ store }) {
      await insertIds(store, ['a']);
      const record = await read(store, 'a');
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.apply([aChange(record, { retryCount: i })], NOW)),
      );
      const taken = answers.flat().filter((one) => one !== null);
      assert.equal(taken.length, 1);
      assert.deepEqual(await read(store, 'a'), taken[0]!.record);
      assert.equal(taken[0]!.record.version, record.version + 1);
    },
  },
  {
    name: 'a claim makes earlier versions stale',
    async run({ store }) {
      await insertIds(store, ['a']);
      const before = await read(store, 'a');
      await claimOne(store);
      assert.deepEqual(await store.apply([aChange(before, { status: 'cancelled', completedAt: NOW })], NOW), [
        null,
      ]);
    },
  },
  {
    name: 'an ended task can be given a new life and is claimed again, its end forgotten',
    async run({ store }) {
      await insertIds(store, ['a']);
      const { record } = await end(store, 'a', 'failed');
      const redriven = await change(store, record, { status: 'pending', completedAt: null, runAt: NOW });
      assert.equal(redriven.record.completedAt, null);
      assert.deepEqual(await claimIds(store), ['a']);
    },
  },
  {
    name: 'get answers in the order asked, with null for what is not there, repeated ids included',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      const found = await store.get(['b', 'nobody', 'a', 'b']);
      assert.deepEqual(
        found.map((record) => record?.id ?? null),
        ['b', null, 'a', 'b'],
      );
      assert.deepEqual(await store.get([]), []);
      assert.deepEqual(await store.apply([], NOW), []);
    },
  },
  {
    name: 'get and apply take thousands of tasks at once',
    async run({ store }) {
      const ids = Array.from({ length: 3_000 }, (_, i) => `t${i}`);
      await insertIds(store, ids);
      const records = await store.get(ids);
      assert.deepEqual(
        records.map((record) => record?.id),
        ids,
      );
      const applied = await store.apply(
        records.map((record) => aChange(record!, { status: 'completed', completedAt: NOW })),
        NOW,
      );
      assert.equal(applied.filter((one) => one !== null).length, 3_000);
      assert.equal((await store.counts(NOW)).byStatus.completed, 3_000);
    },
  },
];
