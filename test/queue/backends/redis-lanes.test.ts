import { expect, test } from 'vitest';
import { RedisTaskStore } from '../../../src/queue/backends/redis/redis-task-store.ts';
import type { NewRecord, TaskState } from '../../../src/queue/task-store.ts';
import { openedStores } from '../../redis/opened-stores.ts';

const open = openedStores((place) => new RedisTaskStore(place));
const NOW = 1_700_000_000_000;

function aRecord(id: string, record: Partial<NewRecord> = {}): NewRecord {
  const submission = `{"payload":{"id":"${id}"}}`;
  return {
    id,
    submission,
    hash: 'h',
    priority: 5,
    agentType: null,
    agent: null,
    rank: 1_000,
    createdAt: NOW,
    runAt: NOW,
    alarmAt: null,
    dependsOn: [],
    join: 'all',
    ...record,
  };
}

async function claim(
  store: RedisTaskStore,
  limit: number,
  ids: string[] | null = null,
  now = NOW,
): Promise<string[]> {
  const filter = ids && { agentTypes: null, priorityMin: null, ids, runnableBy: null };
  const claimed = { limit, owner: 'w', leaseExpiresAt: now + 1_000, filter, to: 'assigned', now } as const;
  return (await store.claim(claimed)).map((record) => record.id);
}

async function change(store: RedisTaskStore, id: string, next: Partial<TaskState>): Promise<void> {
  const [record] = await store.get([id]);
  const [applied] = await store.apply([{ id, version: record!.version, next: { ...record!, ...next } }], NOW);
  expect(applied?.record.id).toBe(id);
}

const ENDED = { status: 'completed', owner: null, leaseExpiresAt: null, completedAt: NOW } as const;
const FREED = { status: 'pending', owner: null, leaseExpiresAt: null } as const;

test('a task that was put off is not claimed by the place it left', async () => {
  const { store } = open();
  await store.insert([aRecord('a'), aRecord('b'), aRecord('c')], NOW);
  await change(store, 'a', { runAt: NOW + 50 });
  expect(await claim(store, 9)).toEqual(['b', 'c']);
  expect(await claim(store, 9, null, NOW + 50)).toEqual(['a']);
});

test('a task that left its lane again and again is claimed once, and its lane is gone then', async () => {
  const { store, ask } = open();
  await store.insert([aRecord('a'), aRecord('b')], NOW);
  for (let i = 0; i < 10; i++) {
    expect(await claim(store, 1, ['b'])).toEqual(['b']);
    await change(store, 'b', FREED);
  }
  expect(await claim(store, 9)).toEqual(['a', 'b']);
  expect(await claim(store, 9)).toEqual([]);
  for (const key of ['r:5||', 'z:5||', 'heads', 'stale']) expect(await ask('EXISTS', key), key).toBe(0);
});

test('thousands of cancelled tasks ahead do not hide those behind', async () => {
  const { store } = open();
  const ids = Array.from({ length: 6_000 }, (_, i) => `t${i}`);
  await store.insert(
    [...ids, 'last'].map((id) => aRecord(id)),
    NOW,
  );
  const records = await store.get(ids);
  await store.apply(
    records.map((record) => ({
      id: record!.id,
      version: 1,
      next: { ...record!, status: 'cancelled' as const, completedAt: NOW },
    })),
    NOW,
  );
  expect((await store.counts(NOW)).byStatus.pending).toBe(1);
  expect(await claim(store, 1)).toEqual(['last']);
});

test('a lane that is something else is put aside, and the others go on', async () => {
  const { store, ask } = open();
  await store.insert([aRecord('a'), aRecord('x', { agentType: 'x' })], NOW);
  await ask('SET', 'r:5||', 'garbage');
  expect(await claim(store, 9)).toEqual(['x']);
  expect(await ask('GET', 'damaged:r5||')).toBe('garbage');
  await store.insert([aRecord('b')], NOW);
  expect(await claim(store, 9)).toEqual(['b']);
});

test('garbage in a lane, in front of it, and in a state stops nothing', async () => {
  const { store, ask } = open();
  await store.insert(
    Array.from({ length: 10 }, (_, i) => aRecord(`t${i}`)),
    NOW,
  );
  await ask('LPUSH', 'r:5||', 'gar@bage', 'more\ngarbage', '1 2 nobody', '');
  expect(await claim(store, 2)).toEqual(['t0', 't1']);
  const front = await ask<string>('HGET', 'c', 'front');
  await ask('HSET', 'c', 'front', `@@\n\n@5||\nnonsense\n${front ?? ''}`);
  const ready = await ask<string>('HGET', 'c', 'ready');
  await ask('HSET', 'c', 'ready', `1 2 nobody 0 5||\ngar@bage\n\n1 x y\n${ready}`);
  await ask('HSET', 't', '=t3', 'not a state');
  expect(await claim(store, 9)).toEqual(['t2', 't4', 't5', 't6', 't7', 't8', 't9']);
  const [damaged] = await store.get(['t3']);
  expect(damaged).toMatchObject({ status: 'failed', version: 0 });
  expect((await store.counts(NOW)).paused).toBe(false);
  const page = await store.list({
    statuses: null,
    agentTypes: null,
    createdAfter: null,
    after: 0,
    limit: 99,
  });
  expect(page.records.length).toBe(10);
});

test('counters that are lost or damaged never give a sequence twice', async () => {
  const { store, ask } = open();
  await store.insert(
    Array.from({ length: 3 }, (_, i) => aRecord(`t${i}`)),
    NOW,
  );
  await ask('HSET', 'c', 'seq', 'x', 'p', 'y', 'head', 'z', 'due', 'never');
  await store.insert([aRecord('later')], NOW);
  const [first, later] = await store.get(['t2', 'later']);
  expect(later!.seq).toBeGreaterThan(first!.seq);
  expect(await claim(store, 9)).toEqual(['t0', 't1', 't2', 'later']);
});

test('a queue of a newer release is refused, and nothing is written to it', async () => {
  const { store, ask } = open();
  await ask('HSET', 'c', 'format', '2');
  await expect(store.insert([aRecord('a')], NOW)).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW' });
  expect(await ask('EXISTS', 't')).toBe(0);
});

const LIMITED = { limits: [{ key: 'k', weight: 1 }], fairKey: null, fairWeight: 1 };
const FAIR = { limits: [], fairKey: 'acme', fairWeight: 1 };
const RULES = [{ key: 'k', rule: { max: 9, rate: null } }];

test('garbage among gates, turns and alarms stops nothing', async () => {
  const { store, ask } = open();
  const records = [aRecord('l', { quota: LIMITED }), aRecord('f', { quota: FAIR }), aRecord('p')];
  await store.insert([...records, aRecord('a', { alarmAt: NOW })], NOW, RULES);
  await ask('HSET', 'gates', 'k', 'not a gate', 'foreign', 'nonsense');
  for (const key of ['groups', 'line', 'ends', 'parked', 'opens', 'alarms', 'heads:k', 'heads:*acme'])
    await ask('ZADD', key, 1, 'foreign member');
  await ask('HSET', 'turns', 'foreign', 'nonsense');
  await ask('HSET', 'c', 'turn', 'never', 'recall', 'x');
  expect((await store.alarmed(NOW, 9)).map(({ id }) => id)).toEqual(['a']);
  expect((await claim(store, 9)).sort()).toEqual(['a', 'f', 'l', 'p']);
  expect((await store.gates(['k']))[0]).toMatchObject({ max: null, used: 1 });
  expect((await store.outlook(NOW)).nextDueAt).toBeNull();
});

test('gates, turns and alarms that are something else are put aside, and the others go on', async () => {
  const { store, ask } = open();
  await store.insert([aRecord('p')], NOW);
  for (const key of ['gates', 'groups', 'line', 'turns', 'ends', 'parked', 'opens', 'alarms'])
    await ask('SET', key, 'garbage');
  await store.setGates([{ key: 'k', isPaused: true }], NOW);
  await store.insert([aRecord('l', { quota: LIMITED }), aRecord('f', { quota: FAIR })], NOW);
  await store.insert([aRecord('a', { alarmAt: NOW + 5 })], NOW);
  expect((await claim(store, 9)).sort()).toEqual(['a', 'f', 'p']);
  await store.setGates([{ key: 'k', isPaused: false }], NOW);
  expect(await claim(store, 9)).toEqual(['l']);
  expect(await store.alarmed(NOW + 9, 9)).toEqual([]);
  await store.purge(NOW, 9);
});

test('a full limit is looked at once, however many tasks and types wait behind it', async () => {
  const { store, ask } = open();
  const types = ['x', 'y', 'z'];
  const parked = types.flatMap((agentType) => [1, 5, 9].map((priority) => ({ agentType, priority })));
  await store.insert(
    parked.map((lane, i) => aRecord(`l${i}`, { ...lane, quota: LIMITED })),
    NOW,
    [{ key: 'k', rule: { max: 0, rate: null } }],
  );
  await store.insert([aRecord('a'), aRecord('b')], NOW);
  expect(await claim(store, 1)).toEqual(['a']);
  expect([await ask('EXISTS', 'groups'), await ask('ZCARD', 'parked')]).toEqual([0, 1]);
  expect(await claim(store, 9)).toEqual(['b']);
  await store.setGates([{ key: 'k', rule: { max: 2, rate: null } }], NOW);
  expect(await claim(store, 9)).toEqual(['l0', 'l1']);
});

test('what its limits let pass waits among the others, and what they keep back in a lane of its own', async () => {
  const { store, ask } = open();
  const limited = ['l0', 'l1', 'l2'].map((id) => aRecord(id, { quota: LIMITED }));
  const rules = [{ key: 'k', rule: { max: 1, rate: null } }];
  await store.insert([...limited, aRecord('a'), aRecord('b')], NOW, rules);
  expect([await ask('LLEN', 'r:5||'), await ask('EXISTS', 'groups')]).toEqual([5, 0]);
  expect(await claim(store, 2)).toEqual(['l0', 'a']);
  expect(await ask('EXISTS', 'heads:k')).toBe(1);
  await change(store, 'l0', ENDED);
  expect(await claim(store, 9)).toEqual(['l1', 'b']);
  await change(store, 'l1', ENDED);
  expect(await claim(store, 9)).toEqual(['l2']);
});

test('a crowd behind one limit waits in its own lane from the start, and goes in order all the same', async () => {
  const { store, ask } = open();
  const ids = Array.from({ length: 120 }, (_, n) => `l${n}`);
  const rules = [{ key: 'k', rule: { max: 2, rate: null } }];
  await store.insert(
    ids.map((id) => aRecord(id, { quota: LIMITED })),
    NOW,
    rules,
  );
  expect(Number(await ask('LLEN', 'r:5||'))).toBeLessThan(110);
  const served: string[] = [];
  while (served.length < ids.length) {
    const taken = await claim(store, 7);
    expect(taken).toHaveLength(2);
    for (const id of taken) await change(store, id, ENDED);
    served.push(...taken);
  }
  expect(served).toEqual(ids);
});

test('nothing is left of limits and turns when all tasks that named them are purged', async () => {
  const { store, ask } = open();
  const quota = { limits: [{ key: 'k', weight: 2 }], fairKey: 'acme', fairWeight: 3 };
  const rate = { max: 4, perMs: 1_000 };
  const records = ['a', 'b', 'c', 'd'].map((id) => aRecord(id, { quota, alarmAt: NOW + 50 }));
  await store.insert([...records, aRecord('l', { quota: LIMITED })], NOW, [
    { key: 'k', rule: { max: 2, rate } },
  ]);
  await store.setGates([{ key: '@type:x', isPaused: true }], NOW);
  expect(await claim(store, 9)).toHaveLength(2);
  const ended = { ...FREED, status: 'cancelled', alarmAt: null, completedAt: NOW } as const;
  for (const id of ['a', 'b', 'c', 'd', 'l']) await change(store, id, ended);
  await store.setGates([{ key: '@type:x', isPaused: false }], NOW);
  expect((await store.purge(NOW + 9_000, 9)).tasks).toHaveLength(5);
  await store.purge(NOW + 9_000, 9);
  const left = [
    'gates',
    'groups',
    'line',
    'turns',
    'ends',
    'parked',
    'opens',
    'alarms',
    'heads:k',
    'heads:*acme',
  ];
  for (const key of left) expect(await ask('EXISTS', key), key).toBe(0);
  expect(await ask('HGET', 'c', 'quotas')).toBeNull();
});

/** The same numbers for the same seed, 0 to below `end`. */
function numbers(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * end);
  };
}

const TYPES = ['a', 'b', 'c'];

test.each([1, 2, 3, 4])(
  'whatever comes, goes and is asked for, claims go by rank, then by sequence (%i)',
  async (seed) => {
    const { store, ask } = open();
    const next = numbers(seed);
    let waiting: { id: string; rank: number; seq: number; type: string }[] = [];
    let seq = 0;
    const insert = async () => {
      const added = Array.from({ length: 1 + next(250) }, () => {
        seq += 1;
        return {
          id: `t${seq}`,
          rank: 100 + next(20) + (next(9) === 0 ? -next(80) : 0),
          seq,
          type: TYPES[next(3)]!,
        };
      });
      await store.insert(
        added.map(({ id, rank, type }) => aRecord(id, { rank, agentType: type, priority: 1 + next(3) })),
        NOW,
      );
      waiting = [...waiting, ...added].sort((a, b) => a.rank - b.rank || a.seq - b.seq);
    };
    const take = async () => {
      const agentTypes = next(3) === 0 ? [TYPES[next(3)]!, TYPES[next(3)]!] : null;
      const filter = agentTypes && { agentTypes, priorityMin: null, ids: null, runnableBy: null };
      const limit = 1 + next(next(2) === 0 ? 4 : 120);
      const expected = waiting.filter(({ type }) => agentTypes?.includes(type) ?? true).slice(0, limit);
      const claimed = {
        limit,
        owner: 'w',
        leaseExpiresAt: NOW + 1_000,
        filter,
        to: 'assigned',
        now: NOW,
      } as const;
      expect((await store.claim(claimed)).map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
      waiting = waiting.filter((task) => !expected.includes(task));
    };
    const leave = async () => {
      const [gone] = waiting.splice(next(Math.min(80, waiting.length)), 1);
      if (gone) await change(store, gone.id, { status: 'cancelled', completedAt: NOW });
    };
    for (let step = 0; step < 150; step++) await [insert, take, take, take, take, leave, leave][next(7)]!();
    while (waiting.length > 0) await take();
    expect(await claim(store, 9)).toEqual([]);
    expect(await ask('HMGET', 'c', 'ready', 'front', 'head')).toEqual([
      expect.stringMatching(/^@.+ inf 0\n$/),
      '',
      'inf',
    ]);
  },
);

test('ends before and after another change of the same call are written in their order', async () => {
  const { store } = open();
  const ids = ['before', 'a', 'b', 'freed', 'c'];
  await store.insert(
    ids.map((id) => aRecord(id)),
    NOW,
  );
  await claim(store, 9);
  const held = new Map((await store.get(ids)).map((record) => [record!.id, record!]));
  const to = (id: string, next: Partial<TaskState>) => {
    const record = held.get(id)!;
    const state = { ...record, owner: null, leaseExpiresAt: null, ...next };
    const event = { from: record.status, to: state.status, at: NOW };
    return { id, version: record.version, next: state, event };
  };
  const ended = (id: string) => to(id, { status: 'completed', completedAt: NOW, result: '1' });
  // The first end of a minute is written in another way.
  await store.apply([ended('before')], NOW);
  const changes = [ended('a'), ended('b'), ended('b'), to('freed', FREED), ended('c'), ended('a')];
  const applied = await store.apply(changes, NOW);
  expect(applied.map((one) => one?.record.status ?? null)).toEqual([
    'completed',
    'completed',
    null,
    'pending',
    'completed',
    null,
  ]);
  const records = await store.get(ids);
  expect(records.map((record) => [record!.status, record!.version, record!.events])).toEqual(
    ids.map((id) => [id === 'freed' ? 'pending' : 'completed', 3, 3]),
  );
  const { byStatus, endedPerMinute } = await store.counts(NOW);
  expect(byStatus).toMatchObject({ pending: 1, assigned: 0, completed: 4 });
  expect(endedPerMinute).toMatchObject([{ status: 'completed', count: 4 }]);
  expect(await claim(store, 9)).toEqual(['freed']);
});
