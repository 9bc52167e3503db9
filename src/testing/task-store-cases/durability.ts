import assert from 'node:assert/strict';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aChange,
  aClaim,
  aRecord,
  change,
  claimIds,
  claimOne,
  end,
  insert,
  insertIds,
  listAll,
  NOW,
  on,
  read,
} from './steps.ts';

export const durabilityCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'what was written is there after the store was opened again: records, edges, histories, pause',
    needs: 'durable',
    async run({ store, reopen }) {
      await insertIds(store, ['held', 'ended', 'retrying', 'first']);
      await insert(store, [
        aRecord({ id: 'blocked', dependsOn: [on('first')] }),
        aRecord({ id: 'judged', dependsOn: [on('ended', 'custom', 'good')] }),
        aRecord({ id: 'delayed', runAt: NOW + 70 }),
      ]);
      await claimOne(store, { to: 'in_progress' });
      await end(store, 'ended', 'completed');
      await change(store, await read(store, 'retrying'), { status: 'retrying', runAt: NOW + 50 });
      await store.setPaused(true);
      const before = await snapshot(store);
      const again = await reopen!();
      assert.deepEqual(await snapshot(again), before);
      await again.setPaused(false);
      assert.deepEqual(await claimIds(again), ['first']);
      assert.deepEqual((await end(again, 'first', 'completed')).effects.released, ['blocked']);
      assert.deepEqual(await claimIds(again, { now: NOW + 70 }), ['retrying', 'blocked', 'delayed']);
    },
  },
  {
    name: 'sequences and fences go on rising after the store was opened again',
    needs: 'durable',
    async run({ store, reopen }) {
      await insertIds(store, ['a', 'gone']);
      const held = await claimOne(store);
      const gone = await read(store, 'gone');
      await end(store, 'gone', 'completed');
      await store.purge(NOW + 1, 10);
      await change(store, held, { status: 'pending', owner: null, leaseExpiresAt: null });
      const again = await reopen!();
      await insertIds(again, ['b']);
      assert.ok((await read(again, 'b')).seq > gone.seq);
      assert.ok((await claimOne(again)).fence > held.fence);
    },
  },
  {
    name: 'a second store on the same storage sees what the first has written',
    needs: 'shared',
    async run({ store, second }) {
      const other = await second!();
      await insertIds(store, ['a']);
      const held = await claimOne(other, { owner: 'other' });
      assert.deepEqual(await read(store, 'a'), held);
      assert.deepEqual(await store.apply([aChange({ ...held, version: held.version - 1 }, {})], NOW), [null]);
      await store.setPaused(true);
      await insertIds(other, ['b']);
      assert.deepEqual(await claimIds(other), []);
      assert.equal(await other.isPaused(), true);
    },
  },
  {
    name: 'two stores on the same storage never claim the same task',
    needs: 'shared',
    async run({ store, second }) {
      const other = await second!();
      await insertIds(
        store,
        Array.from({ length: 60 }, (_, i) => `t${i}`),
      );
      const claims = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          (i % 2 ? store : other).claim(aClaim({ limit: 4, owner: `w${i}` })),
        ),
      );
      const ids = claims.flat().map((record) => record.id);
      assert.equal(ids.length, 60);
      assert.equal(new Set(ids).size, 60);
    },
  },
  {
    name: 'watch tells of the writes of another store on the same storage, until it is taken back',
    needs: 'shared',
    async run({ store, second }) {
      const other = await second!();
      let early = 0;
      const unwatch = store.watch(() => {
        early++;
      });
      unwatch();
      unwatch();
      await new Promise<void>((resolve) => {
        const stop = store.watch(() => {
          stop();
          resolve();
        });
        void insertIds(other, ['a']);
      });
      assert.equal(early, 0, 'a listener that was taken back is not called');
      assert.equal((await read(store, 'a')).status, 'pending');
    },
  },
  {
    name: 'closing twice is closing once',
    async run({ store }) {
      await insertIds(store, ['a']);
      await store.close();
      await store.close();
    },
  },
];

async function snapshot(store: StoreHarness['store']): Promise<unknown> {
  const records = await listAll(store);
  const histories = await Promise.all(records.map((record) => store.history(record.id)));
  return { records, histories, unjudged: await store.unjudged(10), counts: await store.counts(NOW + 60_000) };
}
