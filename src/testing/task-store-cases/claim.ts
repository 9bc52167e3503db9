import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aClaim,
  aRecord,
  change,
  claimIds,
  claimOne,
  insert,
  insertIds,
  LEASE_MS,
  NOW,
  on,
  read,
} from './steps.ts';

export const claimCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'claims go by ascending rank, negative and very large ones too',
    async run({ store }) {
      const ranks = { mid: 0, last: 2 ** 53 - 1, first: -(2 ** 53 - 1), early: -1, late: 1 };
      await insert(
        store,
        Object.entries(ranks).map(([id, rank]) => aRecord({ id, rank })),
      );
      assert.deepEqual(await claimIds(store), ['first', 'early', 'mid', 'late', 'last']);
    },
  },
  {
    name: 'ties go first in, first out, whatever the ids and lanes are',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'z', agentType: 'x' }),
        aRecord({ id: 'a', priority: 9 }),
        aRecord({ id: 'm', agent: 'ada' }),
      ]);
      await insert(store, [aRecord({ id: 'b', agentType: 'x' }), aRecord({ id: '0' })]);
      const taken: string[] = [];
      for (let i = 0; i < 5; i++) taken.push((await claimOne(store)).id);
      assert.deepEqual(taken, ['z', 'a', 'm', 'b', '0']);
    },
  },
  {
    name: 'a claim takes at most its limit, and a limit of 0 takes nothing',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      assert.deepEqual(await claimIds(store, { limit: 0 }), []);
      assert.deepEqual(await claimIds(store, { limit: 2 }), ['a', 'b']);
      assert.deepEqual(await claimIds(store, { limit: 2 }), ['c']);
      assert.deepEqual(await claimIds(store, { limit: 2 }), []);
    },
  },
  {
    name: 'a claim leases: owner, expiry, fence and version + 1, and nothing else changes',
    async run({ store }) {
      await insertIds(store, ['a']);
      const before = await read(store, 'a');
      const held = await claimOne(store, { owner: 'host:7', now: NOW + 3 });
      assert.deepEqual(held, {
        ...before,
        status: 'assigned',
        owner: 'host:7',
        leaseExpiresAt: NOW + 3 + LEASE_MS,
        fence: before.fence + 1,
        version: before.version + 1,
        events: before.events + 1,
      });
      assert.deepEqual(await read(store, 'a'), held);
    },
  },
  {
    name: 'a claim to in_progress stores the start in the same step, a claim to assigned does not',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      const started = await claimOne(store, { to: 'in_progress', now: NOW + 5 });
      assert.equal(started.status, 'in_progress');
      assert.equal(started.startedAt, NOW + 5);
      assert.deepEqual(await read(store, 'a'), started);
      assert.equal((await claimOne(store, { now: NOW + 5 })).startedAt, null);
    },
  },
  {
    name: 'each claim raises the fence, over releases and retries',
    async run({ store }) {
      await insertIds(store, ['a']);
      let fence = 0;
      for (const status of ['pending', 'retrying', 'pending'] as const) {
        const held = await claimOne(store);
        assert.ok(held.fence > fence);
        fence = held.fence;
        await change(store, held, { status, owner: null, leaseExpiresAt: null });
      }
      assert.ok((await claimOne(store)).fence > fence);
    },
  },
  {
    name: 'no task is claimed twice, however many claims run at the same moment',
    async run({ store }) {
      await insertIds(
        store,
        Array.from({ length: 60 }, (_, i) => `t${i}`),
      );
      const claims = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.claim(aClaim({ limit: 5, owner: `w${i}` }))),
      );
      const ids = claims.flat().map((record) => record.id);
      assert.equal(ids.length, 60);
      assert.equal(new Set(ids).size, 60);
      claims.forEach((held, i) => {
        for (const record of held) assert.equal(record.owner, `w${i}`);
      });
    },
  },
  {
    name: 'only pending and retrying tasks are claimed',
    async run({ store }) {
      const others = [
        'assigned',
        'in_progress',
        'waiting',
        'completed',
        'failed',
        'cancelled',
        'skipped',
      ] as const;
      await insertIds(store, [...others, 'retrying', 'pending']);
      for (const status of others) await change(store, await read(store, status), { status });
      await change(store, await read(store, 'retrying'), { status: 'retrying' });
      assert.deepEqual(await claimIds(store), ['retrying', 'pending']);
    },
  },
  {
    name: 'a delayed task is claimed from its runAt on, not a millisecond earlier, and by its rank',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'late', runAt: NOW + 200, rank: 1 }),
        aRecord({ id: 'soon', runAt: NOW + 100, rank: 2 }),
        aRecord({ id: 'now', rank: 3 }),
      ]);
      assert.deepEqual(await claimIds(store, { now: NOW + 99, limit: 1 }), ['now']);
      assert.deepEqual(await claimIds(store, { now: NOW + 99 }), []);
      assert.deepEqual(await claimIds(store, { now: NOW + 100 }), ['soon']);
      await insert(store, [aRecord({ id: 'other', rank: 0, runAt: NOW + 150 })]);
      assert.deepEqual(await claimIds(store, { now: NOW + 200 }), ['other', 'late']);
    },
  },
  {
    name: 'tasks that fall due together are claimed by rank, then sequence, not by runAt',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'c', runAt: NOW + 10, rank: 7 }),
        aRecord({ id: 'a', runAt: NOW + 30, rank: 5 }),
        aRecord({ id: 'b', runAt: NOW + 20, rank: 5 }),
      ]);
      assert.deepEqual(await claimIds(store, { now: NOW + 50 }), ['a', 'b', 'c']);
    },
  },
  {
    name: 'a retrying task is claimed when it is due, at the place its old rank gives it',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'a', rank: 1 }),
        aRecord({ id: 'b', rank: 2 }),
        aRecord({ id: 'c', rank: 3 }),
      ]);
      const held = await claimOne(store);
      await change(store, held, {
        status: 'retrying',
        retryCount: 1,
        runAt: NOW + 500,
        owner: null,
        leaseExpiresAt: null,
      });
      assert.equal((await claimOne(store, { now: NOW + 499 })).id, 'b');
      const again = await claimOne(store, { now: NOW + 500 });
      assert.equal(again.id, 'a');
      assert.equal(again.retryCount, 1);
      assert.equal(again.rank, 1);
    },
  },
  {
    name: 'a task that was put off by a change is not claimed before its new runAt',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await claimOne(store);
      await change(store, held, { status: 'pending', runAt: NOW + 50, owner: null, leaseExpiresAt: null });
      assert.deepEqual(await claimIds(store, { now: NOW + 49 }), []);
      assert.deepEqual(await claimIds(store, { now: NOW + 50 }), ['a']);
    },
  },
  {
    name: 'while paused no claim succeeds; setting it back lets everything go on',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      assert.equal(await store.isPaused(), false);
      await store.setPaused(true);
      await store.setPaused(true);
      assert.equal(await store.isPaused(), true);
      assert.equal((await store.counts(NOW)).paused, true);
      assert.deepEqual(await claimIds(store), []);
      await insert(store, [aRecord({ id: 'c', rank: 0 })]);
      assert.deepEqual(await claimIds(store), []);
      await store.setPaused(false);
      assert.equal((await store.counts(NOW)).paused, false);
      assert.deepEqual(await claimIds(store), ['c', 'a', 'b']);
    },
  },
  {
    name: 'held tasks can be changed while paused',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await claimOne(store);
      await store.setPaused(true);
      assert.equal(
        (await change(store, held, { status: 'completed', completedAt: NOW })).record.status,
        'completed',
      );
    },
  },
  {
    name: 'returned records are copies: changing them changes nothing in the store',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('a')] })]);
      const scribble = (record: object) => {
        const open = record as { status: string; version: number; blockedBy: string[]; rank: number };
        Object.assign(open, { status: 'failed', version: 99, rank: -1 });
        open.blockedBy.push('zzz');
      };
      const before = await read(store, 'b');
      const kept = structuredClone(before);
      scribble(before);
      scribble(
        (await store.list({ statuses: null, agentTypes: null, createdAfter: null, after: 0, limit: 9 }))
          .records[1]!,
      );
      assert.deepEqual(await read(store, 'b'), kept);
      const held = await claimOne(store);
      const heldKept = structuredClone(held);
      scribble(held);
      assert.deepEqual(await read(store, 'a'), heldKept);
    },
  },
];
