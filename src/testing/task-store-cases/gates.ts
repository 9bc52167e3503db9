import assert from 'node:assert/strict';
import type { GateRule } from '../../queue/gate.ts';
import type { LimitUse, Quota } from '../../queue/quota.ts';
import type { GateChange, NewRecord, TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import {
  aChange,
  aClaim,
  aFilter,
  aRecord,
  change,
  claimIds,
  claimOne,
  end,
  insert,
  NOW,
  read,
} from './steps.ts';

/** A quota of plain limits, each `key` or `[key, weight]`. */
export function quotaOf(...uses: readonly (string | readonly [string, number])[]): Quota {
  const limits = uses.map((use): LimitUse => {
    return typeof use === 'string' ? { key: use, weight: 1 } : { key: use[0], weight: use[1] };
  });
  return { limits: limits.sort((a, b) => (a.key < b.key ? -1 : 1)), fairKey: null, fairWeight: 1 };
}

export function rule(key: string, max: number | null, rate: GateRule['rate'] = null): GateChange {
  return { key, rule: { max, rate } };
}

/** Inserts the records under the rules, one after the other in order. */
export async function insertUnder(
  store: TaskStore,
  rules: readonly GateChange[],
  records: readonly NewRecord[],
  now: number = NOW,
): Promise<void> {
  const outcome = await store.insert(records, now, rules);
  assert.deepEqual([outcome.conflicts, outcome.unknown], [[], []]);
}

/** Tasks `prefix1`… under one limit. */
export function limited(
  prefix: string,
  count: number,
  quota: Quota,
  record: Partial<NewRecord> = {},
): NewRecord[] {
  return Array.from({ length: count }, (_, i) => aRecord({ id: `${prefix}${i + 1}`, quota, ...record }));
}

async function usedOf(store: TaskStore, key: string): Promise<number | undefined> {
  const [gate] = await store.gates([key]);
  return gate?.used;
}

export const RELEASED = { status: 'pending', owner: null, leaseExpiresAt: null, startedAt: null } as const;
export const RATE = { max: 3, perMs: 1_000 };

export const gateCases: readonly ConformanceCase<StoreHarness>[] = [
  {
    name: 'a limit lets no more pass than its max, and the next as others end',
    async run({ store }) {
      await insertUnder(store, [rule('k', 2)], limited('a', 4, quotaOf('k')));
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['a1', 'a2']);
      assert.equal(await usedOf(store, 'k'), 2);
      assert.deepEqual(await claimIds(store), []);
      await end(store, 'a1', 'completed');
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['a3']);
      await end(store, 'a2', 'failed');
      await end(store, 'a3', 'cancelled');
      assert.equal(await usedOf(store, 'k'), 0);
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['a4']);
    },
  },
  {
    name: 'one by one claims stop at the max too',
    async run({ store }) {
      await insertUnder(store, [rule('k', 2)], limited('a', 3, quotaOf('k')));
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['a1']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['a2']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), []);
    },
  },
  {
    name: 'one by one claims stop at the rate too, by weight',
    async run({ store }) {
      const under = (key: string, weight: number): Quota => ({ ...quotaOf(key), limits: [{ key, weight }] });
      await insertUnder(store, [rule('k', null, { max: 5, perMs: 1_000 })], limited('a', 4, under('k', 2)));
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['a1']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['a2']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), []);
    },
  },
  {
    name: 'what waits behind a full limit keeps nobody else back',
    async run({ store }) {
      await insertUnder(store, [rule('k', 0)], limited('a', 5, quotaOf('k')));
      await insert(store, [aRecord({ id: 'free', rank: 2_000 })]);
      await insertUnder(store, [rule('l', 1)], limited('b', 2, quotaOf('l'), { rank: 3_000 }));
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['free', 'b1']);
    },
  },
  {
    name: 'what a limit kept back goes before the less urgent as soon as there is a place',
    async run({ store }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 3, quotaOf('k'), { rank: 1 }));
      await insert(
        store,
        Array.from({ length: 9 }, (_, i) => aRecord({ id: `free${i + 1}`, rank: 2_000 })),
      );
      assert.deepEqual(await claimIds(store, { limit: 2 }), ['a1', 'free1']);
      await end(store, 'a1', 'completed');
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['a2']);
      await change(store, await read(store, 'a2'), { ...RELEASED, status: 'retrying', runAt: NOW + 60_000 });
      assert.deepEqual(await claimIds(store, { limit: 2 }), ['a3', 'free2']);
    },
  },
  {
    name: 'limited tasks and others go by one order',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', 9), rule('l', 9)],
        [
          aRecord({ id: 'c', rank: 3, quota: quotaOf('k') }),
          aRecord({ id: 'a', rank: 1 }),
          aRecord({ id: 'b', rank: 2, quota: quotaOf('k') }),
          aRecord({ id: 'd', rank: 4, quota: quotaOf('l') }),
          aRecord({ id: 'e', rank: 5, priority: 8 }),
          aRecord({ id: 'f', rank: 5, quota: quotaOf('k') }),
        ],
      );
      assert.deepEqual(await claimIds(store, { limit: 2 }), ['a', 'b']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), ['c']);
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['d', 'e', 'f']);
    },
  },
  {
    name: 'under several limits all must let a task pass',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', 2), rule('l', 1)],
        [
          aRecord({ id: 'both1', quota: quotaOf('k', 'l') }),
          aRecord({ id: 'both2', quota: quotaOf('k', 'l') }),
          aRecord({ id: 'k1', quota: quotaOf('k') }),
          aRecord({ id: 'k2', quota: quotaOf('k') }),
        ],
      );
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['both1', 'k1']);
      assert.deepEqual([await usedOf(store, 'k'), await usedOf(store, 'l')], [2, 1]);
      await end(store, 'both1', 'completed');
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['both2']);
    },
  },
  {
    name: 'a place is given back however the lease ends: released, retried, asking, skipped to the dead letter',
    async run({ store }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 1, quotaOf('k')));
      for (const next of [
        RELEASED,
        { ...RELEASED, status: 'retrying' as const },
        { ...RELEASED, status: 'waiting' as const },
      ]) {
        const held = await claimOne(store, { to: 'in_progress' });
        assert.equal(await usedOf(store, 'k'), 1);
        const { record } = await change(store, held, next);
        assert.equal(await usedOf(store, 'k'), 0, next.status);
        if (record.status === 'waiting') await change(store, record, { status: 'pending' });
      }
      await claimOne(store);
      assert.equal(await usedOf(store, 'k'), 1);
    },
  },
  {
    name: 'a heartbeat, or a start, keeps the place, and a stale change gives none back',
    async run({ store }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 2, quotaOf('k')));
      const held = await claimOne(store);
      const { record } = await change(store, held, { leaseExpiresAt: NOW + 99_000 });
      await change(store, record, { status: 'in_progress', startedAt: NOW });
      assert.deepEqual(await store.apply([aChange(held, RELEASED)], NOW), [null]);
      assert.equal(await usedOf(store, 'k'), 1);
      assert.deepEqual(await claimIds(store), []);
    },
  },
  {
    name: 'a claim by id passes the gates too',
    async run({ store }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 3, quotaOf('k')));
      const filter = aFilter({ ids: ['a2', 'a3'] });
      assert.deepEqual(await claimIds(store, { limit: 5, filter }), ['a2']);
      assert.deepEqual(await claimIds(store, { limit: 5 }), []);
      assert.equal(await usedOf(store, 'k'), 1);
    },
  },
  {
    name: 'a filter looks at limited tasks as at others',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', 2)],
        [
          aRecord({ id: 'x', agentType: 'x', quota: quotaOf('k') }),
          aRecord({ id: 'y', agentType: 'y', quota: quotaOf('k'), rank: 1 }),
          aRecord({ id: 'plain', agentType: 'x', rank: 2_000 }),
        ],
      );
      const filter = aFilter({ agentTypes: ['x'] });
      assert.deepEqual(await claimIds(store, { limit: 10, filter }), ['x', 'plain']);
      assert.deepEqual(await claimIds(store, { limit: 10 }), ['y']);
    },
  },
  {
    name: 'a paused key, agent or type keeps its tasks back, and nobody else',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', null)],
        [
          aRecord({ id: 'key', quota: quotaOf('k') }),
          aRecord({ id: 'type', agentType: 'x' }),
          aRecord({ id: 'agent', agentType: 'y', agent: 'bob' }),
          aRecord({ id: 'free', agentType: 'y' }),
        ],
      );
      const keys = ['k', '@type:x', '@agent:bob'];
      await store.setGates(
        keys.map((key) => ({ key, isPaused: true })),
        NOW,
      );
      const ids = aFilter({ ids: ['key', 'type', 'agent'] });
      assert.deepEqual(await claimIds(store, { limit: 9, filter: ids }), []);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['free']);
      assert.deepEqual(await claimIds(store, { limit: 1 }), []);
      for (const [key, id] of [
        ['@agent:bob', 'agent'],
        ['@type:x', 'type'],
        ['k', 'key'],
      ] as const) {
        await store.setGates([{ key, isPaused: false }], NOW);
        assert.deepEqual(await claimIds(store, { limit: 9 }), [id]);
      }
    },
  },
  {
    name: 'a rule may change: the next claim goes by it',
    async run({ store }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 3, quotaOf('k')));
      await claimOne(store);
      await store.setGates([rule('k', 2)], NOW);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['a2']);
      await insertUnder(store, [rule('k', 3)], limited('b', 1, quotaOf('k')));
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['a3']);
      const [gate] = await store.gates(['k']);
      assert.deepEqual([gate?.max, gate?.used], [3, 3]);
    },
  },
  {
    name: 'a batch that is refused sets no rule',
    async run({ store }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 1, quotaOf('k')));
      const again = await store.insert(limited('a', 1, quotaOf('k')), NOW, [rule('k', 7)]);
      assert.equal(again.conflicts.length, 1);
      assert.equal((await store.gates(['k']))[0]?.max, 1);
    },
  },
  {
    name: 'gates are told of under their keys, and all of them in order',
    async run({ store }) {
      await insertUnder(store, [rule('b', 1), rule('a', null, RATE)], limited('t', 1, quotaOf('a', 'b')));
      assert.deepEqual(await store.gates(['nobody', 'b']), [
        null,
        { key: 'b', max: 1, rate: null, used: 0, starts: [], closedUntil: 0, isPaused: false },
      ]);
      assert.deepEqual(
        (await store.gates(null)).map((gate) => gate?.key),
        ['a', 'b'],
      );
    },
  },
  {
    name: 'a record shows its quota, also when it is read again',
    async run({ store, reopen }) {
      const quota: Quota = { ...quotaOf(['k', 3], 'l'), fairKey: 'acme', fairWeight: 2 };
      await insertUnder(store, [rule('k', 1), rule('l', null)], [aRecord({ id: 'a', quota })]);
      assert.deepEqual((await read(store, 'a')).quota, quota);
      const [claimed] = await store.claim(aClaim());
      assert.deepEqual(claimed?.quota, quota);
      const opened = reopen ? await reopen() : store;
      assert.deepEqual((await read(opened, 'a')).quota, quota);
      assert.equal(await usedOf(opened, 'k'), 1);
    },
  },
  {
    name: 'places taken outlive the process, and other stores see them',
    async run({ store, second }) {
      await insertUnder(store, [rule('k', 1)], limited('a', 2, quotaOf('k')));
      await claimOne(store);
      const other = second ? await second() : store;
      assert.deepEqual(await claimIds(other, { limit: 5 }), []);
      await end(other, 'a1', 'completed');
      assert.deepEqual(await claimIds(store, { limit: 5 }), ['a2']);
    },
  },
  {
    name: 'purging forgets gates that no task names, and keeps those that are paused',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', 1), rule('l', 1), rule('m', 1)],
        [
          aRecord({ id: 'a', quota: quotaOf('k') }),
          aRecord({ id: 'b', quota: quotaOf('l') }),
          aRecord({ id: 'c', quota: quotaOf('m') }),
        ],
      );
      await store.setGates([{ key: 'l', isPaused: true }], NOW);
      await end(store, 'a', 'cancelled');
      await end(store, 'b', 'cancelled');
      await store.purge(NOW + 1, 10);
      assert.deepEqual(
        (await store.gates(['k', 'l', 'm'])).map((gate) => gate?.key),
        [undefined, 'l', 'm'],
      );
    },
  },
  {
    name: 'a hundred tasks behind a full limit cost the claims of others nothing they would notice',
    async run({ store }) {
      await insertUnder(store, [rule('k', 0)], limited('parked', 100, quotaOf('k'), { rank: 1 }));
      for (let i = 0; i < 5; i++) await insert(store, [aRecord({ id: `free${i}`, rank: 10 + i })]);
      assert.deepEqual(await claimIds(store, { limit: 2 }), ['free0', 'free1']);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['free2', 'free3', 'free4']);
      await store.setGates([rule('k', 1)], NOW);
      assert.deepEqual(await claimIds(store, { limit: 9 }), ['parked1']);
    },
  },
  {
    name: 'a task that was delayed, retried or blocked passes the gates when its time has come',
    async run({ store }) {
      await insertUnder(
        store,
        [rule('k', 1)],
        [
          aRecord({ id: 'late', runAt: NOW + 100, quota: quotaOf('k') }),
          aRecord({ id: 'now', quota: quotaOf('k') }),
        ],
      );
      const held = await claimOne(store, { to: 'in_progress' });
      assert.equal(held.id, 'now');
      assert.deepEqual(await claimIds(store, { now: NOW + 200 }), []);
      await change(store, held, { ...RELEASED, status: 'retrying', runAt: NOW + 300 });
      assert.deepEqual(await claimIds(store, { limit: 9, now: NOW + 200 }), ['late']);
      await end(store, 'late', 'completed');
      assert.deepEqual(await claimIds(store, { limit: 9, now: NOW + 300 }), ['now']);
    },
  },
];
