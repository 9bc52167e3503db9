import assert from 'node:assert/strict';
import type { NewRecord, TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { insertUnder, rule } from './gates.ts';
import { aFilter, aRecord, claimIds, end, insert } from './steps.ts';

/** A backlog of tasks `key1`, `key2`, … of one fair key, in order. */
function backlog(fairKey: string, count: number, weight = 1, record: Partial<NewRecord> = {}): NewRecord[] {
  const quota = { limits: [], fairKey, fairWeight: weight };
  return Array.from({ length: count }, (_, i) => aRecord({ id: `${fairKey}${i + 1}`, quota, ...record }));
}

/** How often each backlog was served, by the first letter of the ids. */
async function served(store: TaskStore, limit: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const id of await claimIds(store, { limit })) counts[id[0]!] = (counts[id[0]!] ?? 0) + 1;
  return counts;
}

export const turnCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'backlogs of different fair keys take turns, each in its own order',
    async run({ store }) {
      await insert(store, [...backlog('a', 4), ...backlog('b', 2), ...backlog('c', 1)]);
      assert.deepEqual(await claimIds(store, { limit: 3 }), ['a1', 'b1', 'c1']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['a2']);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['b2', 'a3', 'a4']);
    },
  },
  {
    name: 'who comes late to a large backlog is served next, and who was away has saved nothing up',
    async run({ store }) {
      await insert(store, backlog('a', 50));
      await claimIds(store, { limit: 20 });
      await insert(store, backlog('b', 10, 1, { rank: 9_000 }));
      assert.equal((await claimIds(store, { limit: 2 })).filter((id) => id.startsWith('b')).length, 1);
      assert.deepEqual(await served(store, 8), { a: 4, b: 4 });
    },
  },
  {
    name: 'turns go by weight',
    async run({ store }) {
      await insert(store, [...backlog('a', 40, 3), ...backlog('b', 40)]);
      const counts = await served(store, 40);
      assert.deepEqual(counts, { a: 30, b: 10 });
    },
  },
  {
    name: 'within a backlog tasks go by their order, and tasks without a fair key share one turn',
    async run({ store }) {
      await insert(store, [
        ...backlog('a', 3),
        aRecord({ id: 'x', rank: 3_000 }),
        aRecord({ id: 'y', rank: 2_000 }),
        ...backlog('z', 0),
      ]);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['a1', 'y', 'a2', 'x', 'a3']);
    },
  },
  {
    name: 'a backlog that a filter or a limit keeps back keeps nobody else back',
    async run({ store }) {
      await insert(store, [
        ...backlog('a', 2, 1, { agentType: 'x' }),
        ...backlog('b', 2, 1, { agentType: 'y' }),
      ]);
      const filter = aFilter({ agentTypes: ['y'] });
      assert.deepEqual(await claimIds(store, { limit: 9, filter }), ['b1', 'b2']);
      const quota = { limits: [{ key: 'k', weight: 1 }], fairKey: 'c', fairWeight: 1 };
      await insertUnder(store, [rule('k', 1)], [aRecord({ id: 'c1', quota }), aRecord({ id: 'c2', quota })]);
      const claimed = await claimIds(store, { limit: 9 });
      assert.deepEqual([...claimed].sort(), ['a1', 'a2', 'c1']);
      await end(store, 'c1', 'completed');
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['c2']);
    },
  },
  {
    name: 'turns are shared by all who use the store',
    async run({ store, second }) {
      const other = second ? await second() : store;
      await insert(store, [...backlog('a', 20), ...backlog('b', 20)]);
      const claimed: string[] = [];
      for (let i = 0; i < 5; i++) {
        claimed.push(...(await claimIds(store, { limit: 1 })), ...(await claimIds(other, { limit: 1 })));
      }
      assert.equal(claimed.filter((id) => id.startsWith('a')).length, 5);
    },
  },
];
