import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aChange, aFilter, aRecord, claimIds, claimOne, end, insert, NOW, on } from './steps.ts';

export const filterCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a type that no submitter can give, with an @, is claimed like any other, beside others and by halves',
    async run({ store }) {
      for (let i = 0; i < 80; i++)
        await insert(store, [aRecord({ id: `n${i}`, agentType: ['@own', 'x', null][i % 3] ?? null })]);
      const own = aFilter({ agentTypes: ['@own'] });
      const claimed: string[] = [];
      for (let i = 0; i < 9; i++) {
        claimed.push(...(await claimIds(store, { limit: 2, filter: own })));
        await claimIds(store, { limit: 1, filter: aFilter({ agentTypes: ['x'] }) });
      }
      claimed.push(...(await claimIds(store, { limit: 80, filter: own })));
      assert.deepEqual(
        claimed,
        Array.from({ length: 27 }, (_, i) => `n${3 * i}`),
      );
    },
  },
  {
    name: 'a filter by agent types takes those types only, never tasks without a type',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'none' }),
        aRecord({ id: 'a1', agentType: 'a' }),
        aRecord({ id: 'b1', agentType: 'b' }),
        aRecord({ id: 'c1', agentType: 'c' }),
        aRecord({ id: 'a2', agentType: 'a', rank: 1 }),
      ]);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ agentTypes: ['b', 'a'] }) }), [
        'a2',
        'a1',
        'b1',
      ]);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ agentTypes: [] }) }), []);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ agentTypes: ['nothing'] }) }), []);
      assert.deepEqual(await claimIds(store), ['none', 'c1']);
    },
  },
  {
    name: 'a filter by priority takes that priority and above, still by rank',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'p4', priority: 4, rank: 1 }),
        aRecord({ id: 'p9', priority: 9, rank: 3 }),
        aRecord({ id: 'p5', priority: 5, rank: 2 }),
      ]);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ priorityMin: 5 }) }), ['p5', 'p9']);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ priorityMin: 1 }) }), ['p4']);
    },
  },
  {
    name: 'a filter by ids takes those that are claimable, in order of rank',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'a', rank: 3 }),
        aRecord({ id: 'b', rank: 2 }),
        aRecord({ id: 'c', rank: 1 }),
        aRecord({ id: 'later', runAt: NOW + 1 }),
        aRecord({ id: 'blocked', dependsOn: [on('a')] }),
      ]);
      const ids = ['a', 'c', 'later', 'blocked', 'nobody', 'a'];
      assert.deepEqual(await claimIds(store, { filter: aFilter({ ids }) }), ['c', 'a']);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ ids }) }), []);
      assert.deepEqual(await claimIds(store, { filter: aFilter({ ids: [] }) }), []);
      assert.deepEqual(await claimIds(store), ['b']);
    },
  },
  {
    name: 'all parts of a filter must hold',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'low', agentType: 'a', priority: 1 }),
        aRecord({ id: 'other', agentType: 'b', priority: 9 }),
        aRecord({ id: 'unnamed', agentType: 'a', priority: 9 }),
        aRecord({ id: 'right', agentType: 'a', priority: 9 }),
      ]);
      const filter = aFilter({ agentTypes: ['a'], priorityMin: 5, ids: ['low', 'other', 'right'] });
      assert.deepEqual(await claimIds(store, { filter }), ['right']);
    },
  },
  {
    name: 'runnableBy takes tasks pinned to a free agent and unpinned tasks of its types or without one',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'pinned', agent: 'ada', agentType: 'odd' }),
        aRecord({ id: 'pinned-elsewhere', agent: 'bob', agentType: 'research' }),
        aRecord({ id: 'typed', agentType: 'research' }),
        aRecord({ id: 'typed-otherwise', agentType: 'write' }),
        aRecord({ id: 'free' }),
      ]);
      const filter = aFilter({ runnableBy: { agents: ['ada'], agentTypes: ['research'] } });
      assert.deepEqual(await claimIds(store, { filter }), ['pinned', 'typed', 'free']);
      assert.deepEqual(
        await claimIds(store, { filter: aFilter({ runnableBy: { agents: [], agentTypes: 'all' } }) }),
        [],
      );
    },
  },
  {
    name: "runnableBy with the types 'all' takes every unpinned task, but no task pinned elsewhere",
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'elsewhere', agent: 'bob' }),
        aRecord({ id: 'typed', agentType: 'anything' }),
        aRecord({ id: 'free' }),
        aRecord({ id: 'pinned', agent: 'ada' }),
      ]);
      const filter = aFilter({ runnableBy: { agents: ['ada', 'eve'], agentTypes: 'all' } });
      assert.deepEqual(await claimIds(store, { filter }), ['typed', 'free', 'pinned']);
    },
  },
  {
    name: 'runnableBy is joined with the other parts of a filter',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'low', priority: 1, agentType: 'a' }),
        aRecord({ id: 'pinned', priority: 8, agent: 'ada' }),
        aRecord({ id: 'typed', priority: 8, agentType: 'a' }),
      ]);
      const runnableBy = { agents: ['ada'], agentTypes: 'all' } as const;
      assert.deepEqual(
        await claimIds(store, { filter: aFilter({ runnableBy, priorityMin: 5, agentTypes: ['a'] }) }),
        ['typed'],
      );
    },
  },
  {
    name: 'a filter finds its task behind hundreds that do not match',
    async run({ store }) {
      await insert(store, [
        ...Array.from({ length: 500 }, (_, i) => aRecord({ id: `x${i}`, agentType: 'x', rank: i })),
        aRecord({ id: 'y', agentType: 'y', rank: 10_000 }),
      ]);
      assert.deepEqual(await claimIds(store, { limit: 1, filter: aFilter({ agentTypes: ['y'] }) }), ['y']);
    },
  },
  {
    name: 'claims with a filter, one after another, take all that match, though others stand ahead',
    async run({ store }) {
      const filter = aFilter({ agentTypes: ['y'] });
      const claim = (limit = 1) => claimIds(store, { limit, filter });
      await insert(store, [
        aRecord({ id: 'ahead', agentType: 'x', rank: 0 }),
        ...Array.from({ length: 12 }, (_, i) => aRecord({ id: `y${i}`, agentType: 'y', rank: i })),
      ]);
      assert.deepEqual([await claim(), await claim(), await claim(2)], [['y0'], ['y1'], ['y2', 'y3']]);
      await insert(store, [aRecord({ id: 'urgent', agentType: 'y', rank: 1 })]);
      await end(store, 'y4', 'cancelled');
      assert.deepEqual([await claim(), await claim(3)], [['urgent'], ['y5', 'y6', 'y7']]);
      assert.deepEqual(await claim(99), ['y8', 'y9', 'y10', 'y11']);
      assert.deepEqual([await claim(), await claimIds(store)], [[], ['ahead']]);
    },
  },
  {
    name: 'what claims without a filter took is not in the way of claims with one',
    async run({ store }) {
      const filter = aFilter({ agentTypes: ['y'] });
      await insert(store, [
        aRecord({ id: 'ahead', agentType: 'x', rank: 0 }),
        ...Array.from({ length: 3 }, (_, i) => aRecord({ id: `y${i}`, agentType: 'y', rank: i })),
        aRecord({ id: 'behind', agentType: 'x', rank: 2 }),
        aRecord({ id: 'last', agentType: 'y', rank: 3 }),
      ]);
      assert.deepEqual(await claimIds(store, { limit: 1, filter }), ['y0']);
      assert.deepEqual(await claimIds(store, { limit: 3 }), ['ahead', 'y1', 'y2']);
      assert.deepEqual(await claimIds(store, { limit: 1, filter }), ['last']);
    },
  },
  {
    name: 'tasks that come back, and tasks that fall due, are found by filters that have looked before',
    async run({ store }) {
      const filter = aFilter({ agentTypes: ['y'] });
      await insert(store, [
        aRecord({ id: 'ahead', agentType: 'x', rank: 0 }),
        aRecord({ id: 'back', agentType: 'y', rank: 5 }),
        aRecord({ id: 'due', agentType: 'y', rank: 6, runAt: NOW + 10 }),
      ]);
      const held = await claimOne(store, { limit: 1, filter });
      const next = { status: 'pending', owner: null, leaseExpiresAt: null, startedAt: null } as const;
      await store.apply([aChange(held, next)], NOW);
      assert.deepEqual(await claimIds(store, { limit: 1, filter }), ['back']);
      assert.deepEqual(await claimIds(store, { limit: 1, filter, now: NOW + 10 }), ['due']);
    },
  },
  {
    name: 'tasks that were released and tasks that fell due pass through filters like new ones',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'a', agentType: 'first' })]);
      await insert(store, [
        aRecord({ id: 'released', agentType: 'x', dependsOn: [on('a')] }),
        aRecord({ id: 'due', agentType: 'x', runAt: NOW + 10 }),
      ]);
      await end(store, 'a', 'completed');
      const filter = aFilter({ agentTypes: ['x'] });
      assert.deepEqual(await claimIds(store, { filter }), ['released']);
      assert.deepEqual(await claimIds(store, { filter, now: NOW + 10 }), ['due']);
    },
  },
];
