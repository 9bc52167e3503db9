import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aRecord,
  change,
  claimIds,
  claimOne,
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

export const purgeCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'purge removes what ended before the given time, not at it, and answers with the ids',
    async run({ store }) {
      await insertIds(store, ['before', 'at', 'after']);
      await end(store, 'before', 'completed', NOW - 1);
      await end(store, 'at', 'completed', NOW);
      await end(store, 'after', 'completed', NOW + 1);
      assert.deepEqual(await store.purge(NOW, 10), ['before']);
      assert.deepEqual(await statuses(store, ['before', 'at', 'after']), {
        before: null,
        at: 'completed',
        after: 'completed',
      });
      assert.deepEqual(await store.purge(NOW, 10), []);
    },
  },
  {
    name: 'purge takes every kind of ending and nothing that lives, however old',
    async run({ store }) {
      await insertIds(store, ['held', 'completed', 'failed', 'cancelled', 'pending']);
      await claimOne(store, { to: 'in_progress' });
      await insert(store, [aRecord({ id: 'skipped', dependsOn: [on('failed')] })]);
      for (const id of ['completed', 'failed', 'cancelled'] as const) await end(store, id, id);
      assert.deepEqual(sorted(await store.purge(NOW + 1, 10)), [
        'cancelled',
        'completed',
        'failed',
        'skipped',
      ]);
      assert.deepEqual(
        (await listAll(store)).map((record) => record.id),
        ['held', 'pending'],
      );
    },
  },
  {
    name: 'purge removes at most its limit and the rest the next time',
    async run({ store }) {
      const ids = ['a', 'b', 'c', 'd', 'e'];
      await insertIds(store, ids);
      for (const id of ids) await end(store, id, 'completed');
      const first = await store.purge(NOW + 1, 2);
      const second = await store.purge(NOW + 1, 2);
      const third = await store.purge(NOW + 1, 2);
      assert.deepEqual([first.length, second.length, third.length], [2, 2, 1]);
      assert.deepEqual(sorted([...first, ...second, ...third]), ids);
    },
  },
  {
    name: 'a purged id is new again: no history, no edges, a sequence never used before',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('a')] })]);
      const old = await read(store, 'b');
      await end(store, 'a', 'failed');
      assert.deepEqual(sorted(await store.purge(NOW + 1, 10)), ['a', 'b']);
      assert.deepEqual(await store.history('b'), []);
      assert.deepEqual(await store.get(['a', 'b']), [null, null]);
      await insertIds(store, ['b', 'a']);
      const reborn = await read(store, 'b');
      assert.ok(reborn.seq > old.seq);
      assert.deepEqual(
        (await store.history('b')).map((event) => [event.seq, event.to]),
        [[1, 'pending']],
      );
      assert.deepEqual((await end(store, 'a', 'failed')).effects, NO_EFFECTS);
      assert.deepEqual(await claimIds(store), ['b']);
    },
  },
  {
    name: 'tasks that depended on a purged one are left as they are',
    async run({ store }) {
      await insertIds(store, ['a', 'other']);
      await insert(store, [
        aRecord({ id: 'released', dependsOn: [on('a')] }),
        aRecord({ id: 'b', dependsOn: [on('a'), on('other')] }),
      ]);
      await end(store, 'a', 'completed');
      assert.deepEqual(await store.purge(NOW + 1, 10), ['a']);
      assert.deepEqual((await read(store, 'b')).blockedBy, ['other']);
      assert.deepEqual((await end(store, 'other', 'completed')).effects.released, ['b']);
      assert.deepEqual(await claimIds(store), ['released', 'b']);
    },
  },
  {
    name: 'purge corrects the counts, and a purged task is an unknown dependency',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await end(store, 'a', 'completed');
      await store.purge(NOW + 1, 10);
      const { byStatus } = await store.counts(NOW);
      assert.equal(byStatus.completed, 0);
      assert.equal(byStatus.pending, 1);
      const outcome = await store.insert([aRecord({ id: 'c', dependsOn: [on('a')] })], NOW);
      assert.deepEqual(outcome.unknown, [{ index: 0, dependencyId: 'a' }]);
    },
  },
  {
    name: 'a task in a new life is not purged for its former end',
    async run({ store }) {
      await insertIds(store, ['a']);
      const { record } = await end(store, 'a', 'failed');
      await change(store, record, { status: 'pending', completedAt: null });
      assert.deepEqual(await store.purge(NOW + 1_000_000, 10), []);
    },
  },
];
