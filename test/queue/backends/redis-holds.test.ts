import { describe, expect, test } from 'vitest';
import { RedisHoldingStore } from '../../../src/queue/backends/hybrid/redis-holding-store.ts';
import type { ClaimFilter } from '../../../src/queue/claim-filter.ts';
import type { Place } from '../../../src/queue/holding-store.ts';
import type { NewRecord } from '../../../src/queue/task-store.ts';
import { seededRandom } from '../../../src/testing/seeded-random.ts';
import { openedStores } from '../../redis/opened-stores.ts';

const open = openedStores((place) => new RedisHoldingStore(place));
const NOW = 1_700_000_000_000;
const TYPES = ['a', 'b', 'c', 'approval@'];

interface Waiting extends Place {
  readonly id: string;
  readonly agentType: string;
}

function aRecord(id: string, rank: number, agentType = 'a', priority = 5): NewRecord {
  const record = { id, rank, agentType, priority, submission: '{"payload":{}}', hash: 'h', agent: null };
  return { ...record, createdAt: NOW, runAt: NOW, alarmAt: null, dependsOn: [], join: 'all' };
}

function ofTypes(...agentTypes: string[]): ClaimFilter {
  return { agentTypes, priorityMin: null, ids: null, runnableBy: null };
}

async function hold(
  store: RedisHoldingStore,
  limit: number,
  filter: ClaimFilter | null = null,
  last: Place | null = null,
) {
  const held = await store.hold({ node: 'n', holdMs: 60_000, filter, limit, last, now: NOW });
  return held.records.map(({ id }) => id);
}

async function claim(store: RedisHoldingStore, limit: number, filter: ClaimFilter | null = null) {
  const asked = { limit, owner: 'w', leaseExpiresAt: NOW + 1_000, filter, to: 'assigned', now: NOW } as const;
  return (await store.claim(asked)).map(({ id }) => id);
}

describe.each([1, 2, 3, 4])('holds among claims, walk %i', (seed) => {
  test('each takes what goes first, once', async () => {
    const { store, ask } = open();
    const random = seededRandom(seed);
    const upTo = (most: number) => Math.floor(random() * most);
    let waiting: Waiting[] = [];
    let seq = 0;
    const held: Waiting[] = [];
    const isAllowed = (filter: ClaimFilter | null) => (task: Waiting) =>
      filter === null || filter.agentTypes!.includes(task.agentType);
    const first = (limit: number, filter: ClaimFilter | null, last: Place | null = null) => {
      const sorted = waiting.filter(isAllowed(filter)).sort((a, b) => a.rank - b.rank || a.seq - b.seq);
      const counts = ({ rank, seq: own }: Waiting) =>
        last === null || rank < last.rank || (rank === last.rank && own <= last.seq);
      const taken = sorted.filter(counts).slice(0, limit);
      waiting = waiting.filter((task) => !taken.includes(task));
      return taken;
    };
    const idsOf = (tasks: readonly Waiting[]) => tasks.map(({ id }) => id);
    const steps: (() => Promise<void>)[] = [
      async () => {
        const base = upTo(40);
        const records = Array.from({ length: 1 + upTo(40) }, () => {
          const agentType = TYPES[upTo(TYPES.length)]!;
          const rank = base + upTo(4);
          const id = `t${++seq}`;
          waiting.push({ id, agentType, rank, seq });
          return aRecord(id, rank, agentType, 1 + upTo(3));
        });
        await store.insert(records, NOW);
      },
      async () => {
        const [limit, filter] = [1 + upTo(30), upTo(3) === 0 ? ofTypes('b', 'approval@') : null];
        expect(await claim(store, limit, filter)).toEqual(idsOf(first(limit, filter)));
      },
      async () => {
        const [limit, filter] = [1 + upTo(50), upTo(3) === 0 ? ofTypes('a', 'c') : null];
        const last = upTo(4) === 0 ? { rank: upTo(44), seq: upTo(seq + 1) } : null;
        const taken = first(limit, filter, last);
        expect(await hold(store, limit, filter, last)).toEqual(idsOf(taken));
        held.push(...taken);
      },
      async () => {
        const returned = held.splice(0, upTo(6));
        await store.giveBack('n', idsOf(returned), NOW);
        waiting.push(...returned);
      },
      async () => {
        const [gone] = waiting.splice(upTo(waiting.length), 1);
        if (!gone) return;
        const [record] = await store.get([gone.id]);
        const next = { ...record!, status: 'cancelled' as const, completedAt: NOW };
        const [applied] = await store.apply([{ id: gone.id, version: record!.version, next }], NOW);
        expect(applied?.record.status).toBe('cancelled');
      },
    ];
    for (let step = 0; step < 120; step++) await steps[upTo(steps.length)]!();
    expect(await hold(store, 5_000)).toEqual(idsOf(first(5_000, null)));
    for (const key of ['heads', 'stale']) expect(await ask('EXISTS', key), key).toBe(0);
  });
});

test('many lanes, each with more than a portion', async () => {
  const { store } = open();
  const records = Array.from({ length: 6_000 }, (_, i) => aRecord(`t${i}`, i, `type${i % 150}`));
  await store.insert(records.slice(0, 3_000), NOW);
  await store.insert(records.slice(3_000), NOW);
  expect(await hold(store, 3_500)).toEqual(records.slice(0, 3_500).map(({ id }) => id));
  expect(await claim(store, 100)).toEqual(records.slice(3_500, 3_600).map(({ id }) => id));
  expect(await hold(store, 3_000)).toEqual(records.slice(3_600).map(({ id }) => id));
});

test('what was made unreadable is passed over, and a lane that is something else put aside', async () => {
  const { store, ask } = open();
  await store.insert([aRecord('a', 1), aRecord('b', 2), aRecord('x', 3, 'x'), aRecord('y', 4, 'y')], NOW);
  await ask('LSET', 'r:5|a|', 0, 'no entry');
  await ask('SET', 'r:5|x|', 'garbage');
  expect(await hold(store, 9)).toEqual(['b', 'y']);
  expect(await ask('EXISTS', 'damaged:r5|x|')).toBe(1);
  expect(await ask('EXISTS', 'heads')).toBe(0);
});

test('an entry of a task that was purged and submitted anew stands for nobody', async () => {
  const { store, ask } = open();
  await store.insert([aRecord('a', 1), aRecord('b', 2)], NOW);
  const [record] = await store.get(['a']);
  await store.apply(
    [{ id: 'a', version: 1, next: { ...record!, status: 'cancelled', completedAt: NOW } }],
    NOW,
  );
  await store.purge(NOW + 1, 10);
  await store.insert([aRecord('a', 3)], NOW);
  expect(await ask('LLEN', 'r:5|a|')).toBe(3);
  expect(await hold(store, 9)).toEqual(['b', 'a']);
});
