import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aChange,
  aRecord,
  change,
  claimIds,
  claimOne,
  end,
  insert,
  insertIds,
  NO_EFFECTS,
  NOW,
  on,
  read,
  sorted,
  statuses,
} from './steps.ts';

const ENDS = ['completed', 'failed', 'cancelled', 'skipped'] as const;
const HOLDS: Readonly<Record<string, readonly string[]>> = {
  success: ['completed'],
  failure: ['failed'],
  completion: ENDS,
};
const WORDS = ['success', 'failure', 'completion'] as const;

export const dependencyCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a blocked task shows what it waits for, in the order submitted, and is not claimed',
    async run({ store }) {
      await insertIds(store, ['z', 'm', 'a']);
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('m'), on('z'), on('a', 'completion')] })]);
      assert.deepEqual((await read(store, 'b')).blockedBy, ['m', 'z', 'a']);
      assert.deepEqual(await claimIds(store), ['z', 'm', 'a']);
    },
  },
  {
    name: 'each condition releases or skips after each kind of ending',
    async run({ store }) {
      for (const status of ENDS) {
        await insertIds(store, [status]);
        await insert(
          store,
          WORDS.map((word) => aRecord({ id: `${status}-${word}`, dependsOn: [on(status, word)] })),
        );
        const { effects } = await end(store, status, status);
        const held = WORDS.filter((word) => HOLDS[word]!.includes(status)).map((word) => `${status}-${word}`);
        const fell = WORDS.filter((word) => !HOLDS[word]!.includes(status)).map(
          (word) => `${status}-${word}`,
        );
        assert.deepEqual(sorted(effects.released), sorted(held), `released after ${status}`);
        assert.deepEqual(sorted(effects.skipped), sorted(fell), `skipped after ${status}`);
        assert.equal(effects.unjudged, false);
        assert.deepEqual(sorted(await claimIds(store)), sorted(held));
      }
    },
  },
  {
    name: 'edges to tasks that have ended are decided at the insert',
    async run({ store }) {
      for (const status of ENDS) {
        await insertIds(store, [status]);
        await end(store, status, status);
        const effects = await insert(
          store,
          WORDS.map((word) => aRecord({ id: `${status}-${word}`, dependsOn: [on(status, word)] })),
        );
        const fell = WORDS.filter((word) => !HOLDS[word]!.includes(status)).map(
          (word) => `${status}-${word}`,
        );
        assert.deepEqual(sorted(effects.skipped), sorted(fell));
        for (const word of WORDS) {
          const record = await read(store, `${status}-${word}`);
          assert.equal(record.status, HOLDS[word]!.includes(status) ? 'pending' : 'skipped');
          assert.deepEqual(record.blockedBy, []);
        }
      }
    },
  },
  {
    name: 'a task is released by the last of its edges, and each decided edge leaves blockedBy',
    async run({ store }) {
      await insertIds(store, ['a', 'b', 'c']);
      await insert(store, [aRecord({ id: 'd', dependsOn: [on('a'), on('b'), on('c')] })]);
      assert.deepEqual((await end(store, 'b', 'completed')).effects, NO_EFFECTS);
      assert.deepEqual((await read(store, 'd')).blockedBy, ['a', 'c']);
      assert.deepEqual((await end(store, 'a', 'completed')).effects, NO_EFFECTS);
      assert.deepEqual((await end(store, 'c', 'completed')).effects, { ...NO_EFFECTS, released: ['d'] });
      assert.deepEqual(await claimIds(store), ['d']);
    },
  },
  {
    name: 'a task is skipped by the first edge that fails, whatever the others still wait for',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await insert(store, [aRecord({ id: 'c', dependsOn: [on('a'), on('b')] })]);
      assert.deepEqual((await end(store, 'a', 'failed', NOW + 5)).effects, { ...NO_EFFECTS, skipped: ['c'] });
      const skipped = await read(store, 'c');
      assert.equal(skipped.status, 'skipped');
      assert.equal(skipped.completedAt, NOW + 5);
      assert.deepEqual(
        (await end(store, 'b', 'completed')).effects,
        NO_EFFECTS,
        'what was skipped stays skipped',
      );
      assert.deepEqual(await statuses(store, ['c']), { c: 'skipped' });
    },
  },
  {
    name: 'skipping goes on downwards through every level in the same step',
    async run({ store }) {
      await insertIds(store, ['root']);
      await insert(store, [
        aRecord({ id: 'one', dependsOn: [on('root')] }),
        aRecord({ id: 'two', dependsOn: [on('one')] }),
        aRecord({ id: 'three', dependsOn: [on('two', 'failure')] }),
        aRecord({ id: 'cleanup', dependsOn: [on('two', 'completion')] }),
        aRecord({ id: 'after', dependsOn: [on('cleanup')] }),
      ]);
      const { effects } = await end(store, 'root', 'cancelled');
      assert.deepEqual(sorted(effects.skipped), ['one', 'three', 'two']);
      assert.deepEqual(effects.released, ['cleanup']);
      assert.deepEqual(await claimIds(store), ['cleanup']);
      assert.deepEqual((await read(store, 'after')).blockedBy, ['cleanup']);
    },
  },
  {
    name: 'a skip raises the version, so that a stale change of the skipped task is refused',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('a')] })]);
      const stale = await read(store, 'b');
      await end(store, 'a', 'failed');
      assert.ok((await read(store, 'b')).version > stale.version);
      assert.deepEqual(await store.apply([aChange(stale, { status: 'cancelled' })], NOW), [null]);
    },
  },
  {
    name: 'a chain of two thousand tasks is skipped in one step',
    async run({ store }) {
      const ids = Array.from({ length: 2_000 }, (_, i) => `t${i}`);
      await insert(
        store,
        ids.map((id, i) => aRecord({ id, dependsOn: i === 0 ? [] : [on(ids[i - 1]!)] })),
      );
      assert.equal((await end(store, 't0', 'failed')).effects.skipped.length, 1_999);
      assert.equal((await store.counts(NOW)).byStatus.skipped, 1_999);
    },
  },
  {
    name: 'tasks of one batch may depend on one another in any order',
    async run({ store }) {
      await insert(store, [
        aRecord({ id: 'last', dependsOn: [on('middle')] }),
        aRecord({ id: 'middle', dependsOn: [on('first')] }),
        aRecord({ id: 'first' }),
      ]);
      assert.deepEqual(await claimIds(store), ['first']);
      await end(store, 'first', 'completed');
      assert.deepEqual(await claimIds(store), ['middle']);
      await end(store, 'middle', 'completed');
      assert.deepEqual(await claimIds(store), ['last']);
    },
  },
  {
    name: 'a skip at the insert goes on to the other tasks of its batch, whatever their order',
    async run({ store }) {
      await insertIds(store, ['a']);
      await end(store, 'a', 'failed');
      const effects = await insert(store, [
        aRecord({ id: 'd', dependsOn: [on('c', 'completion')] }),
        aRecord({ id: 'c', dependsOn: [on('b')] }),
        aRecord({ id: 'b', dependsOn: [on('a')] }),
      ]);
      assert.deepEqual(sorted(effects.skipped), ['b', 'c']);
      assert.deepEqual(await statuses(store, ['b', 'c', 'd']), { b: 'skipped', c: 'skipped', d: 'pending' });
      assert.deepEqual(await claimIds(store), ['d']);
    },
  },
  {
    name: 'a change that does not end the task decides nothing for its dependents',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', dependsOn: [on('a', 'completion')] })]);
      const held = await claimOne(store, { to: 'in_progress' });
      const { record, effects } = await change(store, held, {
        status: 'retrying',
        owner: null,
        leaseExpiresAt: null,
      });
      assert.deepEqual(effects, NO_EFFECTS);
      assert.deepEqual((await change(store, record, { status: 'waiting' })).effects, NO_EFFECTS);
      assert.deepEqual((await read(store, 'b')).blockedBy, ['a']);
    },
  },
  {
    name: 'a blocked task that was cancelled is not released by what it waited for',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [
        aRecord({ id: 'b', dependsOn: [on('a')] }),
        aRecord({ id: 'c', dependsOn: [on('b', 'completion')] }),
      ]);
      assert.deepEqual((await end(store, 'b', 'cancelled')).effects, { ...NO_EFFECTS, released: ['c'] });
      assert.deepEqual((await end(store, 'a', 'completed')).effects, NO_EFFECTS);
      assert.deepEqual(await statuses(store, ['b']), { b: 'cancelled' });
      assert.deepEqual(await claimIds(store), ['c']);
    },
  },
  {
    name: 'several changes in one apply release a task that waits for all of them',
    async run({ store }) {
      await insertIds(store, ['a', 'b']);
      await insert(store, [aRecord({ id: 'c', dependsOn: [on('a'), on('b')] })]);
      const held = await store.get(['a', 'b']);
      const applied = await store.apply(
        held.map((record) => aChange(record!, { status: 'completed', completedAt: NOW })),
        NOW,
      );
      assert.deepEqual(
        applied.flatMap((one) => one!.effects.released),
        ['c'],
      );
      assert.deepEqual(await claimIds(store), ['c']);
    },
  },
  {
    name: 'a released task that is delayed becomes claimable only when it is due',
    async run({ store }) {
      await insertIds(store, ['a']);
      await insert(store, [aRecord({ id: 'b', runAt: NOW + 1_000, dependsOn: [on('a')] })]);
      await end(store, 'a', 'completed');
      assert.deepEqual(await claimIds(store, { now: NOW + 999 }), []);
      assert.deepEqual(await claimIds(store, { now: NOW + 1_000 }), ['b']);
    },
  },
];
