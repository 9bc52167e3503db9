import assert from 'node:assert/strict';
import { TASK_STATUSES } from '../../queue/task.ts';
import type { ListQuery } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aRecord, change, end, insert, insertIds, listAll, NOW, on, read } from './steps.ts';

const ALL: ListQuery = { statuses: null, agentTypes: null, createdAfter: null, after: 0, limit: 100 };

async function listIds(store: StoreHarness['store'], query: Partial<ListQuery> = {}): Promise<string[]> {
  return (await store.list({ ...ALL, ...query })).records.map((record) => record.id);
}

export const listCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a list is in order of sequence, whatever ranks and statuses say, with whole records',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'c', rank: 9 }), aRecord({ id: 'a', rank: 1 })]);
      await insert(store, [aRecord({ id: 'b', rank: 5, dependsOn: [on('a'), on('c')] })]);
      await end(store, 'a', 'completed');
      const { records, next } = await store.list(ALL);
      assert.equal(next, null);
      assert.deepEqual(records, await store.get(['c', 'a', 'b']));
      assert.deepEqual(records[2]!.blockedBy, ['c']);
    },
  },
  {
    name: 'pages join without gap or overlap, and the last page has no next',
    async run({ store }) {
      const ids = Array.from({ length: 7 }, (_, i) => `t${i}`);
      await insertIds(store, ids);
      for (const limit of [1, 2, 3, 7, 8]) {
        assert.deepEqual(
          (await listAll(store, limit)).map((record) => record.id),
          ids,
        );
      }
    },
  },
  {
    name: 'each page has at most its limit',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      const page = await store.list({ ...ALL, limit: 2 });
      assert.equal(page.records.length, 2);
      assert.equal(typeof page.next, 'number');
      const rest = await store.list({ ...ALL, limit: 2, after: page.next! });
      assert.deepEqual(
        rest.records.map((record) => record.id),
        ['c'],
      );
    },
  },
  {
    name: 'a list of nothing is an empty page without a next',
    async run({ store }) {
      assert.deepEqual(await store.list(ALL), { records: [], next: null });
      await insertIds(store, ['a']);
      assert.deepEqual(await store.list({ ...ALL, statuses: ['failed'] }), { records: [], next: null });
      assert.deepEqual(await store.list({ ...ALL, after: (await read(store, 'a')).seq }), {
        records: [],
        next: null,
      });
    },
  },
  {
    name: 'a list by statuses shows exactly those, for every status',
    async run({ store }) {
      await insertIds(store, TASK_STATUSES);
      for (const status of TASK_STATUSES) await change(store, await read(store, status), { status });
      for (const status of TASK_STATUSES)
        assert.deepEqual(await listIds(store, { statuses: [status] }), [status]);
      assert.deepEqual(await listIds(store, { statuses: ['skipped', 'pending'] }), ['pending', 'skipped']);
      assert.deepEqual(await listIds(store, { statuses: [] }), []);
    },
  },
  {
    name: 'a list by agent types shows exactly those, never tasks without a type',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'none' }),
        aRecord({ id: 'x', agentType: 'x' }),
        aRecord({ id: 'y', agentType: 'y' }),
        aRecord({ id: 'x2', agentType: 'x' }),
      ]);
      assert.deepEqual(await listIds(store, { agentTypes: ['x'] }), ['x', 'x2']);
      assert.deepEqual(await listIds(store, { agentTypes: ['y', 'x'] }), ['x', 'y', 'x2']);
      assert.deepEqual(await listIds(store, { agentTypes: [] }), []);
    },
  },
  {
    name: 'a list by createdAfter includes that very millisecond',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'old', createdAt: NOW - 1 }),
        aRecord({ id: 'same', createdAt: NOW }),
        aRecord({ id: 'new', createdAt: NOW + 1 }),
      ]);
      assert.deepEqual(await listIds(store, { createdAfter: NOW }), ['same', 'new']);
    },
  },
  {
    name: 'filters of a list are joined, and paging through a filtered list finds everything',
    async run({ store }) {
      const records = Array.from({ length: 30 }, (_, i) =>
        aRecord({ id: `t${i}`, agentType: i % 3 === 0 ? 'x' : 'y', createdAt: NOW + i }),
      );
      await insert(store, records);
      for (let i = 0; i < 30; i += 2) await end(store, `t${i}`, 'completed');
      const query: ListQuery = {
        statuses: ['completed'],
        agentTypes: ['x'],
        createdAfter: NOW + 6,
        after: 0,
        limit: 2,
      };
      const found: string[] = [];
      for (let after: number | null = 0; after !== null; ) {
        const page = await store.list({ ...query, after });
        found.push(...page.records.map((record) => record.id));
        after = page.next;
      }
      assert.deepEqual(found, ['t6', 't12', 't18', 't24']);
    },
  },
  {
    name: 'tasks that come while somebody pages through the list are appended',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      const first = await store.list({ ...ALL, limit: 2 });
      await insertIds(store, ['d']);
      await end(store, 'a', 'completed');
      const second = await store.list({ ...ALL, limit: 2, after: first.next! });
      assert.deepEqual(
        second.records.map((record) => record.id),
        ['c', 'd'],
      );
    },
  },
];
