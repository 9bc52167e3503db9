import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { insertUnder, limited, quotaOf, RATE, RELEASED, rule } from './gates.ts';
import { aChange, aClaim, aRecord, claimIds, claimOne, NOW, nextDueAt } from './steps.ts';

export const rateCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'in any window no more starts than the rate allows, and the next when there is room',
    async run({ store }) {
      await insertUnder(store, [rule('k', null, RATE)], limited('a', 30, quotaOf('k')));
      const starts: number[] = [];
      for (let now = NOW; starts.length < 12; now += 10) {
        for (const _ of await claimIds(store, { limit: 5, now })) starts.push(now);
        assert.ok(now < NOW + 10_000, 'starts go on');
      }
      for (const at of starts) {
        const inWindow = starts.filter((start) => start > at - RATE.perMs && start <= at).length;
        assert.ok(inWindow <= RATE.max, `${inWindow} in the window to ${at - NOW}`);
      }
      assert.ok(starts.at(-1)! - NOW <= 3 * RATE.perMs * 1.1 + 10, 'the rate is used');
      assert.equal(starts.filter((at) => at === NOW).length, 3, 'a burst goes at once');
    },
  },
  {
    name: 'weights count against a rate, and a heavy task first in its lane is not overtaken in it',
    async run({ store }) {
      const rate = { max: 10, perMs: 1_000 };
      await insertUnder(
        store,
        [rule('k', null, rate)],
        [
          aRecord({ id: 'six', quota: quotaOf(['k', 6]) }),
          aRecord({ id: 'five', quota: quotaOf(['k', 5]) }),
          aRecord({ id: 'one', quota: quotaOf('k') }),
        ],
      );
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['six']);
      assert.deepEqual(await claimIds(store, { limit: 10, now: NOW + 900 }), []);
      assert.deepEqual(await claimIds(store, { limit: 10, now: NOW + 1_051 }), ['five', 'one']);
    },
  },
  {
    name: 'what an attempt spent in truth takes the place of what was reserved',
    async run({ store }) {
      const rate = { max: 10, perMs: 1_000 };
      await insertUnder(
        store,
        [rule('k', null, rate)],
        [
          aRecord({ id: 'a', quota: quotaOf(['k', 10]) }),
          aRecord({ id: 'b', quota: quotaOf(['k', 8]) }),
          aRecord({ id: 'c', quota: quotaOf(['k', 2]) }),
        ],
      );
      const a = await claimOne(store, { to: 'in_progress' });
      assert.deepEqual(await claimIds(store), []);
      const over = { status: 'completed', owner: null, leaseExpiresAt: null, completedAt: NOW } as const;
      const spent = [{ key: 'k', weight: 2 }];
      assert.ok((await store.apply([{ ...aChange(a, over), spent }], NOW))[0]);
      const b = await claimOne(store, { to: 'in_progress' });
      assert.equal(b.id, 'b');
      const more = [{ key: 'k', weight: 30 }];
      assert.ok((await store.apply([{ ...aChange(b, over), spent: more }], NOW))[0]);
      assert.deepEqual(await claimIds(store, { now: NOW + 1_000 }), []);
      assert.deepEqual(await claimIds(store, { now: NOW + 1_051 }), ['c']);
    },
  },
  {
    name: 'a change closes a key until a time: nothing that needs it starts before, others do, and no attempt is lost',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', null)],
        [...limited('a', 3, quotaOf('k')), aRecord({ id: 'free', rank: 5_000 })],
      );
      const held = await claimOne(store, { to: 'in_progress' });
      const closes = [{ key: 'k', until: NOW + 500 }];
      assert.ok((await store.apply([{ ...aChange(held, RELEASED), closes }], NOW))[0]);
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['free']);
      assert.deepEqual(await claimIds(store, { limit: 10, now: NOW + 499 }), []);
      assert.equal(await nextDueAt(store, NOW), NOW + 500);
      const earlier = [{ key: 'k', closedUntil: NOW + 500 }];
      await store.setGates(earlier, NOW);
      assert.deepEqual(await claimIds(store, { limit: 10, now: NOW + 500 }), ['a1', 'a2', 'a3']);
    },
  },
  {
    name: 'the later end of two closings counts, and 0 opens',
    async run({ store }) {
      await insertUnder(store, [rule('k', null)], limited('a', 3, quotaOf('k')));
      const [first, second] = await store.claim(aClaim({ limit: 2, to: 'in_progress' }));
      await store.apply([{ ...aChange(first!, RELEASED), closes: [{ key: 'k', until: NOW + 900 }] }], NOW);
      await store.apply([{ ...aChange(second!, RELEASED), closes: [{ key: 'k', until: NOW + 300 }] }], NOW);
      assert.deepEqual(await claimIds(store, { now: NOW + 899 }), []);
      await store.setGates([{ key: 'k', closedUntil: 0 }], NOW);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['a1', 'a2', 'a3']);
    },
  },
];
