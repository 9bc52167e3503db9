import assert from 'node:assert/strict';
import type { TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aRecord, change, claimOne, end, insert, insertIds, NOW, nextDueAt, on, read } from './steps.ts';

async function ringing(store: TaskStore, now: number, limit = 100): Promise<string[]> {
  return (await store.alarmed(now, limit)).map(({ id }) => id);
}

export const alarmCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'an alarm rings at its time, earliest first, whatever the task waits for, and until it is moved',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'ready', alarmAt: NOW + 300 }),
        aRecord({ id: 'delayed', alarmAt: NOW + 100, runAt: NOW + 9_000 }),
        aRecord({ id: 'blocked', alarmAt: NOW + 200, dependsOn: [on('ready')] }),
        aRecord({ id: 'none' }),
      ]);
      assert.deepEqual(await ringing(store, NOW + 99), []);
      assert.deepEqual(await ringing(store, NOW + 200), ['delayed', 'blocked']);
      assert.deepEqual(await ringing(store, NOW + 999), ['delayed', 'blocked', 'ready']);
      assert.deepEqual(await ringing(store, NOW + 999, 2), ['delayed', 'blocked']);
      assert.equal((await read(store, 'blocked')).alarmAt, NOW + 200);
      await change(store, await read(store, 'delayed'), { alarmAt: NOW + 250 });
      await change(store, await read(store, 'blocked'), { alarmAt: null });
      assert.deepEqual(await ringing(store, NOW + 999), ['delayed', 'ready']);
      assert.deepEqual(await ringing(store, NOW + 240), []);
    },
  },
  {
    name: 'a claim takes the alarm off, and a change sets it again',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'a', alarmAt: NOW + 100 })]);
      const claimed = await claimOne(store);
      assert.equal(claimed.alarmAt, null);
      assert.equal((await read(store, 'a')).alarmAt, null);
      assert.deepEqual(await ringing(store, NOW + 999), []);
      const back = { status: 'pending', owner: null, leaseExpiresAt: null, alarmAt: NOW + 500 } as const;
      assert.equal((await change(store, claimed, back)).record.alarmAt, NOW + 500);
      assert.deepEqual(await ringing(store, NOW + 999), ['a']);
    },
  },
  {
    name: 'an alarm of a task that waits for a person rings too',
    async run({ store }) {
      await insertIds(store, ['a']);
      const claimed = await claimOne(store);
      const asking = { status: 'waiting', owner: null, leaseExpiresAt: null, alarmAt: NOW + 50 } as const;
      await change(store, claimed, asking);
      assert.deepEqual(await ringing(store, NOW + 50), ['a']);
    },
  },
  {
    name: 'nothing that has ended rings, nor what was skipped',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'a', alarmAt: NOW + 100 }),
        aRecord({ id: 'b', alarmAt: NOW + 100, dependsOn: [on('a')] }),
      ]);
      await end(store, 'a', 'failed');
      assert.equal((await read(store, 'b')).status, 'skipped');
      assert.equal((await read(store, 'b')).alarmAt, null);
      assert.deepEqual(await ringing(store, NOW + 999), []);
    },
  },
  {
    name: 'the next alarm is something that falls due',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'late', runAt: NOW + 900 }),
        aRecord({ id: 'a', alarmAt: NOW + 100 }),
      ]);
      assert.equal(await nextDueAt(store, NOW), NOW + 100);
      await end(store, 'a', 'cancelled');
      assert.equal(await nextDueAt(store, NOW), NOW + 900);
    },
  },
  {
    name: 'alarms outlive the process',
    async run({ store, reopen }) {
      await insert(store, [aRecord({ id: 'a', alarmAt: NOW + 100 })]);
      const opened = reopen ? await reopen() : store;
      assert.deepEqual(await ringing(opened, NOW + 100), ['a']);
    },
  },
];
