import assert from 'node:assert/strict';
import type { TaskRecord, TaskState, TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aChange,
  aRecord,
  claimIds,
  claimOne,
  end,
  insert,
  insertIds,
  NOW,
  on,
  read,
  sorted,
} from './steps.ts';

const NO_LEASE = { owner: null, leaseExpiresAt: null, startedAt: null };

/** Puts a leased task back to pending, from then on behind these tasks. */
async function waitFor(
  store: TaskStore,
  record: TaskRecord,
  ids: readonly string[],
  next?: Partial<TaskState>,
) {
  const dependsOn = ids.map((id) => on(id, 'completion'));
  const change = { ...aChange(record, { status: 'pending', ...NO_LEASE, ...next }), dependsOn };
  const [applied] = await store.apply([change], NOW);
  assert.ok(applied, 'the change was taken');
  return applied;
}

export const joinCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'any: the first edge that holds releases the task, and voids the others',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      await insert(store, [aRecord({ id: 'any', dependsOn: [on('a'), on('b'), on('c')], join: 'any' })]);
      assert.deepEqual((await read(store, 'any')).blockedBy, ['a', 'b', 'c']);
      const { effects } = await end(store, 'b', 'completed');
      assert.deepEqual(effects, { released: ['any'], skipped: [], unjudged: false });
      assert.deepEqual((await read(store, 'any')).blockedBy, []);
      assert.deepEqual((await end(store, 'a', 'failed')).effects.skipped, []);
      assert.deepEqual((await end(store, 'c', 'completed')).effects.released, []);
      assert.deepEqual(await claimIds(store), ['any']);
      assert.equal((await store.counts(NOW)).blocked, 0);
    },
  },
  {
    name: 'any: an edge that fails leaves the others, and the last one to fail skips the task',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await insert(store, [aRecord({ id: 'any', dependsOn: [on('a'), on('b')], join: 'any' })]);
      assert.deepEqual((await end(store, 'a', 'failed')).effects.skipped, []);
      assert.deepEqual((await read(store, 'any')).blockedBy, ['b']);
      assert.deepEqual((await end(store, 'b', 'cancelled')).effects.skipped, ['any']);
      assert.equal((await read(store, 'any')).status, 'skipped');
      const counts = await store.counts(NOW);
      assert.deepEqual([counts.blocked, counts.byStatus.pending], [0, 0]);
    },
  },
  {
    name: 'any: tasks that have ended decide at the insert',
    async run({ store }) {
      await insertIds(store, ['good', 'bad', 'open']);
      await end(store, 'good', 'completed');
      await end(store, 'bad', 'failed');
      await insert(store, [
        aRecord({ id: 'ready', dependsOn: [on('open'), on('good')], join: 'any' }),
        aRecord({ id: 'blocked', dependsOn: [on('bad'), on('open')], join: 'any' }),
        aRecord({ id: 'skipped', dependsOn: [on('bad')], join: 'any' }),
      ]);
      assert.deepEqual((await read(store, 'ready')).blockedBy, []);
      assert.deepEqual((await read(store, 'blocked')).blockedBy, ['open']);
      assert.equal((await read(store, 'skipped')).status, 'skipped');
      assert.deepEqual(sorted(await claimIds(store)), ['open', 'ready']);
    },
  },
  {
    name: 'any: a verdict that fails leaves the others, and one that holds releases',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      const dependsOn = [on('a', 'custom', 'good'), on('b', 'custom', 'good')];
      await insert(store, [aRecord({ id: 'any', dependsOn, join: 'any' })]);
      assert.equal((await end(store, 'a', 'completed')).effects.unjudged, true);
      const verdict = { taskId: 'any', dependencyId: 'a', condition: 'good', reason: 'too low' };
      const first = await store.judge([{ ...verdict, holds: false }], NOW);
      assert.deepEqual([first.released, first.skipped], [[], []]);
      await end(store, 'b', 'completed');
      const second = await store.judge([{ ...verdict, dependencyId: 'b', holds: true }], NOW);
      assert.deepEqual(second.released, ['any']);
      assert.deepEqual(await store.unjudged(10), []);
    },
  },
  {
    name: 'any: once it is released, an edge that waited for a verdict is judged no more',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      const dependsOn = [on('a', 'custom', 'good'), on('b')];
      await insert(store, [aRecord({ id: 'any', dependsOn, join: 'any' })]);
      await end(store, 'a', 'completed');
      assert.deepEqual((await end(store, 'b', 'completed')).effects.released, ['any']);
      assert.deepEqual(await store.unjudged(10), []);
    },
  },
  {
    name: 'a change gives a task new edges: it is claimable again when all of them are decided',
    async run({ store }) {
      await insertIds(store, ['parent', 'x', 'y']);
      const parent = await claimOne(store, { to: 'in_progress' });
      const { record, effects } = await waitFor(store, parent, ['x', 'y']);
      assert.deepEqual([record.status, record.blockedBy, effects.released], ['pending', ['x', 'y'], []]);
      assert.deepEqual((await read(store, 'parent')).blockedBy, ['x', 'y']);
      assert.equal((await store.counts(NOW)).blocked, 1);
      assert.deepEqual((await end(store, 'x', 'failed')).effects.released, []);
      assert.deepEqual((await end(store, 'y', 'completed')).effects.released, ['parent']);
      const again = await claimOne(store);
      assert.deepEqual([again.id, again.fence], ['parent', 2]);
    },
  },
  {
    name: 'new edges to tasks that have ended, or are gone, are decided at once',
    async run({ store }) {
      await insertIds(store, ['parent', 'x', 'y']);
      const parent = await claimOne(store, { to: 'in_progress' });
      await end(store, 'x', 'cancelled');
      const { record } = await waitFor(store, parent, ['x', 'nobody', 'y']);
      assert.deepEqual(record.blockedBy, ['y']);
      await end(store, 'y', 'completed');
      const second = await claimOne(store, { to: 'in_progress' });
      const applied = await waitFor(store, second, ['x', 'y', 'nobody']);
      assert.deepEqual([applied.record.status, applied.record.blockedBy], ['pending', []]);
      assert.deepEqual(await claimIds(store), ['parent']);
    },
  },
  {
    name: 'a stale change gives no edges',
    async run({ store }) {
      await insertIds(store, ['parent', 'x']);
      const parent = await claimOne(store, { to: 'in_progress' });
      await end(store, 'parent', 'cancelled');
      const change = { ...aChange(parent, { status: 'pending', ...NO_LEASE }), dependsOn: [on('x')] };
      assert.deepEqual(await store.apply([change], NOW), [null]);
      assert.deepEqual((await end(store, 'x', 'completed')).effects.released, []);
    },
  },
  {
    name: 'a task that ends while it waits behind new edges leaves them',
    async run({ store }) {
      await insertIds(store, ['parent', 'x']);
      const parent = await claimOne(store, { to: 'in_progress' });
      await waitFor(store, parent, ['x']);
      await end(store, 'parent', 'cancelled');
      assert.deepEqual((await end(store, 'x', 'completed')).effects.released, []);
      assert.equal((await store.counts(NOW)).blocked, 0);
    },
  },
];
