import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aRecord,
  claimIds,
  end,
  insert,
  insertIds,
  listAll,
  NO_EFFECTS,
  NOW,
  on,
  read,
  sorted,
  statuses,
} from './steps.ts';

export const insertCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'an inserted task is pending with everything it was given',
    async run({ store }) {
      const given = aRecord({
        id: 'a',
        submission: '{"payload":{"q":"\u2028 \\ud800 ☃"}}',
        hash: 'h',
        priority: 9,
        agentType: 'research',
        agent: 'ada',
        rank: -5,
        createdAt: NOW - 7,
        runAt: NOW + 9,
      });
      await insert(store, [given]);
      const { dependsOn: _, join: __, ...identity } = given;
      const { seq, version, content, quota, ...stored } = await read(store, 'a');
      assert.deepEqual([content, quota], [undefined, undefined]);
      assert.ok(Number.isSafeInteger(seq) && Number.isSafeInteger(version));
      assert.deepEqual(stored, {
        ...identity,
        status: 'pending',
        retryCount: 0,
        crashes: 0,
        fence: 0,
        owner: null,
        leaseExpiresAt: null,
        startedAt: null,
        completedAt: null,
        result: null,
        details: null,
        events: 1,
        blockedBy: [],
      });
    },
  },
  {
    name: 'a batch gets rising sequences in its own order, and the next batch higher ones',
    async run({ store }) {
      await insertIds(store, ['c', 'a', 'b']);
      await insertIds(store, ['0']);
      assert.deepEqual(
        (await listAll(store)).map((record) => record.id),
        ['c', 'a', 'b', '0'],
      );
      const [c, a, b, last] = await store.get(['c', 'a', 'b', '0']);
      assert.ok(c!.seq < a!.seq && a!.seq < b!.seq && b!.seq < last!.seq);
    },
  },
  {
    name: 'an empty batch changes nothing',
    async run({ store }) {
      assert.deepEqual(await store.insert([], NOW), { conflicts: [], unknown: [], effects: NO_EFFECTS });
      assert.deepEqual(await listAll(store), []);
    },
  },
  {
    name: 'an id that exists is a conflict that shows the stored task, and nothing of the batch is stored',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await end(store, 'b', 'completed');
      const outcome = await store.insert(
        [aRecord({ id: 'new' }), aRecord({ id: 'b', submission: '{}' }), aRecord({ id: 'a' })],
        NOW,
      );
      assert.deepEqual(sorted(outcome.conflicts.map((record) => record.id)), ['a', 'b']);
      for (const record of outcome.conflicts) assert.deepEqual(record, await read(store, record.id));
      assert.deepEqual(await store.get(['new']), [null]);
      assert.deepEqual(await store.history('new'), []);
      assert.equal((await store.counts(NOW)).byStatus.pending, 1);
    },
  },
  {
    name: 'an unknown dependency is named with its index, and nothing of the batch is stored',
    async run({ store }) {
      await insertIds(store, ['known']);
      const outcome = await store.insert(
        [
          aRecord({ id: 'a' }),
          aRecord({ id: 'b', dependsOn: [on('known'), on('nobody'), on('a')] }),
          aRecord({ id: 'c', dependsOn: [on('no.one', 'completion')] }),
        ],
        NOW,
      );
      assert.deepEqual(outcome.unknown, [
        { index: 1, dependencyId: 'nobody' },
        { index: 2, dependencyId: 'no.one' },
      ]);
      assert.deepEqual(await store.get(['a', 'b', 'c']), [null, null, null]);
      assert.deepEqual(await claimIds(store), ['known']);
    },
  },
  {
    name: 'a refused batch leaves no edge behind: what it depended on ends without effects',
    async run({ store }) {
      await insertIds(store, ['a']);
      await store.insert([aRecord({ id: 'b', dependsOn: [on('a'), on('nobody')] })], NOW);
      assert.deepEqual((await end(store, 'a', 'completed')).effects, NO_EFFECTS);
      await insertIds(store, ['b']);
      assert.deepEqual(await statuses(store, ['b']), { b: 'pending' });
      assert.deepEqual((await read(store, 'b')).blockedBy, []);
    },
  },
  {
    name: 'of many inserts of one id at the same moment exactly one is stored',
    async run({ store }) {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.insert([aRecord({ id: 'a', submission: `{"i":${i}}` })], NOW),
        ),
      );
      assert.equal(outcomes.filter((outcome) => outcome.conflicts.length === 0).length, 1);
      assert.equal((await listAll(store)).length, 1);
    },
  },
  {
    name: 'a batch of ten thousand tasks is stored whole and in order',
    async run({ store }) {
      const ids = Array.from({ length: 10_000 }, (_, i) => `t${i}`);
      await insertIds(store, ids);
      assert.equal((await store.counts(NOW)).byStatus.pending, 10_000);
      assert.deepEqual(await claimIds(store, { limit: 3 }), ['t0', 't1', 't2']);
      assert.equal((await read(store, 't9999')).status, 'pending');
    },
  },
  {
    name: 'ids that differ only in case, or that objects know by nature, are ids like any other',
    async run({ store }) {
      const ids = ['a', 'A', '__proto__', 'constructor', 'toString', '0', '00', '1e3'];
      await insertIds(store, ids);
      assert.deepEqual(
        (await store.get(ids)).map((record) => record?.id),
        ids,
      );
      assert.deepEqual(await claimIds(store), ids);
    },
  },
];
