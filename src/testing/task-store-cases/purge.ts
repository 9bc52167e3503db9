import assert from 'node:assert/strict';
import type { Purged, TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { insertUnder, quotaOf, rule } from './gates.ts';
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
      assert.deepEqual((await store.purge(NOW, 10)).tasks, ['before']);
      assert.deepEqual(await statuses(store, ['before', 'at', 'after']), {
        before: null,
        at: 'completed',
        after: 'completed',
      });
      assert.deepEqual((await store.purge(NOW, 10)).tasks, []);
    },
  },
  {
    name: 'purge takes every kind of ending and nothing that lives, however old',
    async run({ store }) {
      await insertIds(store, ['held', 'completed', 'failed', 'cancelled', 'pending']);
      await claimOne(store, { to: 'in_progress' });
      await insert(store, [aRecord({ id: 'skipped', dependsOn: [on('failed')] })]);
      for (const id of ['completed', 'failed', 'cancelled'] as const) await end(store, id, id);
      assert.deepEqual(sorted((await store.purge(NOW + 1, 10)).tasks), [
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
      const first = (await store.purge(NOW + 1, 2)).tasks;
      const second = (await store.purge(NOW + 1, 2)).tasks;
      const third = (await store.purge(NOW + 1, 2)).tasks;
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
      assert.deepEqual(sorted((await store.purge(NOW + 1, 10)).tasks), ['a', 'b']);
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
      assert.deepEqual((await store.purge(NOW + 1, 10)).tasks, ['a']);
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
      assert.deepEqual((await store.purge(NOW + 1_000_000, 10)).tasks, []);
    },
  },
  {
    name: 'a thread that tasks share is free when the last of them is purged, and not when it ends',
    async run({ store }) {
      const limits = [rule('thread:talk', 1)];
      const onTalk = (id: string) => aRecord({ id, quota: quotaOf('thread:talk', 'k') });
      await insertUnder(store, limits, [onTalk('a'), onTalk('b'), aRecord({ id: 'alone' })]);
      await end(store, 'a', 'completed', NOW);
      await end(store, 'alone', 'completed', NOW);
      assert.deepEqual(await purged(store, NOW + 1), { tasks: ['a', 'alone'], threads: ['a', 'alone'] });
      await end(store, 'b', 'failed', NOW + 10);
      assert.deepEqual(await purged(store, NOW + 5), { tasks: [], threads: [] });
      assert.equal((await store.gates(['thread:talk']))[0]?.key, 'thread:talk');
      assert.deepEqual(await purged(store, NOW + 11), { tasks: ['b'], threads: ['b', 'talk'] });
      assert.deepEqual(await store.gates(['thread:talk', 'k']), [null, null]);
      assert.deepEqual(await purged(store, NOW + 12), { tasks: [], threads: [] });
      await insertUnder(store, limits, [onTalk('c')]);
      await end(store, 'c', 'cancelled', NOW + 20);
      assert.deepEqual(await purged(store, NOW + 21), { tasks: ['c'], threads: ['c', 'talk'] });
    },
  },
  {
    name: 'a task in a new life, or skipped, keeps the thread it shares until it is purged',
    async run({ store }) {
      const quota = quotaOf('thread:talk');
      await insertUnder(store, [rule('thread:talk', 1)], [aRecord({ id: 'a', quota })]);
      await insert(store, [aRecord({ id: 'b', quota, dependsOn: [on('a')] })]);
      const { record } = await end(store, 'a', 'failed', NOW);
      const again = await change(store, record, { status: 'pending', completedAt: null });
      assert.deepEqual(await purged(store, NOW + 1), { tasks: ['b'], threads: ['b'] });
      await end(store, again.record.id, 'completed', NOW + 2);
      assert.deepEqual(await purged(store, NOW + 3), { tasks: ['a'], threads: ['a', 'talk'] });
    },
  },
  {
    name: 'the thread of a stored task is not free, whoever shared it, nor that of a purged one while others share it',
    async run({ store }) {
      await insertIds(store, ['first']);
      const quota = quotaOf('thread:first');
      await insertUnder(store, [rule('thread:first', 1)], [aRecord({ id: 'next', quota })]);
      await end(store, 'next', 'completed', NOW);
      assert.deepEqual(await purged(store, NOW + 1), { tasks: ['next'], threads: ['next'] });
      await insertUnder(store, [rule('thread:first', 1)], [aRecord({ id: 'last', quota })]);
      await end(store, 'first', 'completed', NOW + 1);
      assert.deepEqual(await purged(store, NOW + 2), { tasks: ['first'], threads: [] });
      await end(store, 'last', 'completed', NOW + 3);
      assert.deepEqual(await purged(store, NOW + 4), { tasks: ['last'], threads: ['first', 'last'] });
    },
  },
];

async function purged(store: TaskStore, endedBefore: number): Promise<Purged> {
  const { tasks, threads } = await store.purge(endedBefore, 10);
  return { tasks: sorted(tasks), threads: sorted(threads) };
}
