import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aChange,
  aRecord,
  change,
  claimOne,
  end,
  insert,
  insertIds,
  LEASE_MS,
  NOW,
  nextDueAt,
  on,
  read,
} from './steps.ts';

export const leaseCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a lease is expired from its very end on, not a millisecond earlier',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await claimOne(store);
      assert.deepEqual(await store.expired(NOW + LEASE_MS - 1, 10), []);
      assert.deepEqual(await store.expired(NOW + LEASE_MS, 10), [held]);
    },
  },
  {
    name: 'assigned and started tasks expire alike, oldest lease first, at most the limit',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      await claimOne(store, { leaseExpiresAt: NOW + 30 });
      await claimOne(store, { leaseExpiresAt: NOW + 10, to: 'in_progress' });
      await claimOne(store, { leaseExpiresAt: NOW + 20 });
      const ids = async (limit: number) => (await store.expired(NOW + 40, limit)).map((record) => record.id);
      assert.deepEqual(await ids(10), ['b', 'c', 'a']);
      assert.deepEqual(await ids(2), ['b', 'c']);
    },
  },
  {
    name: 'a heartbeat that lands first defeats the sweeper',
    async run({ store }) {
      await insertIds(store, ['a']);
      const held = await claimOne(store, { to: 'in_progress' });
      const [overdue] = await store.expired(NOW + LEASE_MS, 10);
      await change(store, held, { leaseExpiresAt: NOW + 2 * LEASE_MS }, NOW + LEASE_MS);
      const swept = aChange(overdue!, { status: 'retrying', crashes: 1, owner: null, leaseExpiresAt: null });
      assert.deepEqual(await store.apply([swept], NOW + LEASE_MS), [null]);
      assert.deepEqual(await store.expired(NOW + LEASE_MS, 10), []);
      assert.equal((await store.expired(NOW + 2 * LEASE_MS, 10)).length, 1);
    },
  },
  {
    name: 'a task that no longer holds a lease never expires',
    async run({ store }) {
      await insertIds(store, ['released', 'waiting', 'ended']);
      const freed = { owner: null, leaseExpiresAt: null };
      await change(store, await claimOne(store), { ...freed, status: 'pending', runAt: NOW + 1 });
      await change(store, await claimOne(store, { to: 'in_progress' }), { ...freed, status: 'waiting' });
      await claimOne(store);
      await end(store, 'ended', 'completed');
      assert.deepEqual(await store.expired(NOW + 10 * LEASE_MS, 10), []);
    },
  },
  {
    name: 'nextDueAt is the earliest runAt after now of a delayed task, null without one',
    async run({ store }) {
      assert.equal(await nextDueAt(store, NOW), null);
      await insert(store, [
        aRecord({ id: 'ready' }),
        aRecord({ id: 'b', runAt: NOW + 20 }),
        aRecord({ id: 'a', runAt: NOW + 10 }),
      ]);
      assert.equal(await nextDueAt(store, NOW), NOW + 10);
      assert.equal(await nextDueAt(store, NOW + 10), NOW + 20);
      assert.equal(await nextDueAt(store, NOW + 20), null);
    },
  },
  {
    name: 'nextDueAt follows what happens to delayed tasks: retries count, ended ones do not',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'a' }), aRecord({ id: 'b', runAt: NOW + 50 })]);
      const held = await claimOne(store, { to: 'in_progress' });
      await change(store, held, { status: 'retrying', runAt: NOW + 20, owner: null, leaseExpiresAt: null });
      assert.equal(await nextDueAt(store, NOW), NOW + 20);
      await end(store, 'a', 'cancelled');
      assert.equal(await nextDueAt(store, NOW), NOW + 50);
      await change(store, await read(store, 'b'), { runAt: NOW + 70 });
      assert.equal(await nextDueAt(store, NOW), NOW + 70);
      await end(store, 'b', 'cancelled');
      assert.equal(await nextDueAt(store, NOW), null);
    },
  },
  {
    name: 'nextDueAt counts a delayed task once it is unblocked',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', runAt: NOW + 100, dependsOn: [on('a')] })]);
      await end(store, 'a', 'completed');
      assert.equal(await nextDueAt(store, NOW), NOW + 100);
    },
  },
];
