import assert from 'node:assert/strict';
import { HISTORY_EVENTS_MAX } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aChange, aRecord, change, claimOne, end, insert, insertIds, NOW, on, read } from './steps.ts';

export const historyCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a history begins with the submission: from null, at the time of the insert, without a worker',
    async run({ store }) {
      await insert(store, [aRecord({ id: 'a' })], NOW);
      const events = await store.history('a');
      assert.equal(events.length, 1);
      const { taskId, seq, from, to, at, worker } = events[0]!;
      assert.deepEqual(
        { taskId, seq, from, to, at },
        { taskId: 'a', seq: 1, from: null, to: 'pending', at: NOW },
      );
      assert.equal(worker, undefined);
      assert.deepEqual(await store.history('nobody'), []);
    },
  },
  {
    name: 'a claim is an event with its time and worker, to the status it claims to',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await claimOne(store, { owner: 'w7', now: NOW + 1 });
      await claimOne(store, { owner: 'w8', now: NOW + 2, to: 'in_progress' });
      const [, claimed] = await store.history('a');
      assert.deepEqual(claimed, {
        taskId: 'a',
        seq: 2,
        from: 'pending',
        to: 'assigned',
        at: NOW + 1,
        worker: 'w7',
      });
      const events = await store.history('b');
      assert.deepEqual(
        {
          from: events[1]?.from,
          to: events.at(-1)?.to,
          at: events.at(-1)?.at,
          worker: events.at(-1)?.worker,
        },
        { from: 'pending', to: 'in_progress', at: NOW + 2, worker: 'w8' },
      );
    },
  },
  {
    name: 'the event of a change is kept as given, with worker and reason or without',
    async run({ store }) {
      await insertIds(store, ['a']);
      let record = await read(store, 'a');
      const events = [
        { from: 'pending', to: 'in_progress', at: NOW + 1, worker: 'w', reason: 'because "it" was ☃' },
        { from: 'in_progress', to: 'in_progress', at: NOW + 2 },
        { from: 'in_progress', to: 'completed', at: NOW + 3, reason: '' },
      ] as const;
      for (const event of events) {
        const [applied] = await store.apply([{ ...aChange(record, { status: event.to }), event }], event.at);
        record = applied!.record;
      }
      const kept = (await store.history('a')).slice(1);
      assert.deepEqual(
        kept.map(({ taskId, seq, ...event }) => ({ ...event, reason: event.reason ?? '' })),
        events.map((event) => ({ ...event, reason: 'reason' in event ? event.reason : '' })),
      );
      assert.deepEqual(
        kept.map((event) => event.seq),
        [2, 3, 4],
      );
      assert.ok(!('worker' in kept[1]!), 'a worker that was not given is absent, not null');
      assert.ok(!('reason' in kept[1]!), 'a reason that was not given is absent, not null');
    },
  },
  {
    name: 'a change without an event leaves the history alone',
    async run({ store }) {
      await insertIds(store, ['a']);
      await change(store, await read(store, 'a'), { details: '{}' });
      assert.equal((await store.history('a')).length, 1);
    },
  },
  {
    name: 'a skip is an event with the time of the ending and a reason',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [
        aRecord({ id: 'b', dependsOn: [on('a')] }),
        aRecord({ id: 'c', dependsOn: [on('b')] }),
      ]);
      await end(store, 'a', 'failed', NOW + 9);
      for (const id of ['b', 'c']) {
        const skip = (await store.history(id)).at(-1)!;
        assert.deepEqual(
          { from: skip.from, to: skip.to, at: skip.at },
          { from: 'pending', to: 'skipped', at: NOW + 9 },
        );
        assert.ok(skip.reason !== undefined && skip.reason.length > 0);
      }
    },
  },
  {
    name: 'a task skipped at its insert ends its history as skipped',
    async run({ store }) {
      await insertIds(store, ['a']);
      await end(store, 'a', 'failed');
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('a')] })], NOW + 4);
      const events = await store.history('b');
      assert.equal(events[0]!.from, null);
      assert.equal(events.at(-1)!.to, 'skipped');
      assert.equal(events.at(-1)!.at, NOW + 4);
      events.forEach((event, i) => {
        assert.equal(event.seq, i + 1);
      });
    },
  },
  {
    name: 'a history keeps its newest events, numbered as they were given',
    async run({ store }) {
      await insertIds(store, ['a', 'other']);
      const rounds = HISTORY_EVENTS_MAX + 20;
      let record = await read(store, 'a');
      for (let i = 1; i <= rounds; i++) {
        const event = { from: 'pending', to: 'pending', at: NOW + i } as const;
        const [applied] = await store.apply([{ ...aChange(record, { retryCount: i }), event }], NOW + i);
        record = applied!.record;
      }
      const events = await store.history('a');
      assert.equal(events.length, HISTORY_EVENTS_MAX);
      assert.equal(events.at(-1)!.seq, rounds + 1);
      assert.equal(events[0]!.seq, rounds + 2 - HISTORY_EVENTS_MAX);
      events.forEach((event, i) => {
        assert.equal(event.seq, events[0]!.seq + i);
        assert.equal(event.at, NOW + event.seq - 1);
      });
      assert.equal((await store.history('other')).length, 1);
    },
  },
  {
    name: 'histories of tasks that change in turns do not mix',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      for (let i = 0; i < 3; i++) {
        for (const id of ['a', 'b']) {
          const event = { from: 'pending', to: 'pending', at: NOW + i, worker: id } as const;
          await store.apply([{ ...aChange(await read(store, id), { retryCount: i }), event }], NOW + i);
        }
      }
      for (const id of ['a', 'b']) {
        const events = await store.history(id);
        assert.deepEqual(
          events.map((event) => event.seq),
          [1, 2, 3, 4],
        );
        assert.ok(events.every((event) => event.taskId === id));
        assert.deepEqual(
          events.slice(1).map((event) => event.worker),
          [id, id, id],
        );
      }
    },
  },
];
