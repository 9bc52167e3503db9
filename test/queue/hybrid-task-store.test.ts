import { afterEach, expect, test } from 'vitest';
import type { HybridTaskStoreOptions } from '../../src/queue/backends/hybrid/hybrid-options.ts';
import { HybridTaskStore } from '../../src/queue/backends/hybrid/hybrid-task-store.ts';
import type { TaskRecord } from '../../src/queue/task-store.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import {
  aChange,
  aClaim,
  aRecord,
  claimIds,
  claimOne,
  insert,
  insertIds,
  LEASE_MS,
  listAll,
  NOW,
  read,
} from '../../src/testing/task-store-cases/steps.ts';
import { HoldingMemory, RemoteMemory } from './backends/holding-memory.ts';

const HOLD_MS = LEASE_MS * 1.25;
const DONE = { status: 'completed', owner: null, leaseExpiresAt: null, completedAt: NOW } as const;

const opened: { readonly store: HybridTaskStore; readonly clock: FakeClock }[] = [];

afterEach(async () => {
  const all = opened.splice(0);
  const closed = Promise.all(all.map(({ store }) => store.close()));
  await all[0]?.clock.advance(5_000);
  await closed;
  expect(all[0]?.clock.timers).toBe(0);
});

/** One storage, a clock for holds, and any number of nodes that hold up to ten tasks ahead. */
function aFleet() {
  const clock = new FakeClock();
  const storage = new HoldingMemory(() => clock.now());
  let nodes = 0;
  const node = (options: Partial<HybridTaskStoreOptions> = {}) => {
    const remote = new RemoteMemory(storage);
    const store = new HybridTaskStore(remote, {
      leaseMs: LEASE_MS,
      node: `n${nodes++}`,
      clock,
      prefetchTasksMin: 10,
      ...options,
    });
    opened.push({ store, clock });
    return { store, remote };
  };
  return { clock, storage, node };
}

function ids(count: number, prefix = 't'): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}

test('claims after the first one are served from memory, and are written behind it in shared calls', async () => {
  const { node } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(11));
  await claimOne(store);
  await read(store, 't0');
  const before = remote.calls;
  const taken: string[] = [];
  for (let i = 0; i < 5; i++) taken.push((await claimOne(store)).id);
  expect(taken).toEqual(['t1', 't2', 't3', 't4', 't5']);
  expect(remote.calls - before).toBeLessThanOrEqual(2);
  expect((await read(store, 't5')).status).toBe('assigned');
});

test('a claim that finds too little here takes what is on its way, and asks for nothing behind it', async () => {
  const { node } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(40));
  await claimOne(store);
  const { hold } = remote;
  const told: string[] = [];
  remote.hold = async (request) => {
    const held = await hold(request);
    told.push('held');
    return held;
  };
  const first = store.claim(aClaim({ limit: 8 }));
  const second = store.claim(aClaim({ limit: 6 }));
  expect((await Promise.all([first, second])).flat().map(({ id }) => id)).toEqual(ids(15).slice(1));
  expect(told).toEqual(['held']);
});

/** A node with two questions under way, whose answers come when they are let go. */
async function twiceAsking() {
  const { node, storage, clock } = aFleet();
  const { store, remote } = node({ prefetchTasksMax: 10 });
  await insertIds(store, ids(60));
  await claimOne(store);
  const { hold } = remote;
  const asked: number[] = [];
  let letGo = () => {};
  const gone = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  remote.hold = async (request) => {
    asked.push(request.limit);
    const held = await hold(request);
    await gone;
    return held;
  };
  const taken = await claimIds(store, { limit: 4 });
  taken.push(...(await claimIds(store, { limit: 4 })));
  expect(taken).toEqual(ids(9).slice(1));
  return { store, storage, clock, asked, letGo };
}

test('a node asks for more while it waits for an answer, once, and holds no more than it may', async () => {
  const { store, storage, asked, letGo } = await twiceAsking();
  expect(asked).toEqual([4, 4]);
  expect(await claimIds(store, { limit: 1 })).toEqual(['t9']);
  expect(asked).toEqual([4, 4]);
  const more = claimIds(store, { limit: 8 });
  letGo();
  expect(await more).toEqual(ids(18).slice(10));
  await store.get([]);
  expect(storage.holds).toBeLessThanOrEqual(10);
});

test('what comes up while two answers are awaited goes before what both bring', async () => {
  const { store, letGo } = await twiceAsking();
  await insert(store, [aRecord({ id: 'urgent', rank: 1 })]);
  const claim = claimIds(store, { limit: 3 });
  letGo();
  expect((await claim)[0]).toBe('urgent');
  expect(await claimIds(store, { limit: 40 })).not.toContain('urgent');
});

test('a pause while two answers are awaited leaves nothing held', async () => {
  const { store, storage, clock, letGo } = await twiceAsking();
  const paused = store.setPaused(true);
  letGo();
  await clock.advance(100);
  await paused;
  expect(storage.holds).toBe(0);
  expect(await claimIds(store)).toEqual([]);
});

test('a held task shows as it was, to this process and to others', async () => {
  const { node, storage } = aFleet();
  const [{ store }, other] = [node(), node()];
  await insertIds(store, ids(4));
  const before = await listAll(other.store);
  await claimOne(store);
  await store.get([]);
  expect(storage.holds).toBe(3);
  expect((await listAll(other.store)).slice(1)).toEqual(before.slice(1));
  expect(await listAll(store)).toEqual(await listAll(other.store));
  expect((await store.counts(NOW)).byStatus).toMatchObject({ pending: 3, assigned: 1 });
  expect((await store.counts(NOW)).oldestReadyAt).toBe(NOW);
});

test('what one node holds no other claims; one with nothing to do gets half of it', async () => {
  const { node, clock } = aFleet();
  const [one, two] = [node(), node()];
  await insertIds(one.store, ids(9));
  const taken = [(await claimOne(one.store)).id];
  expect(await claimIds(two.store, { limit: 4 })).toEqual([]);
  let isTold = false;
  two.store.watch(() => {
    isTold = true;
  });
  await clock.advance(100);
  expect(isTold).toBe(true);
  const got = await claimIds(two.store, { limit: 4 });
  expect(got).toEqual(['t5', 't6', 't7', 't8']);
  taken.push(...got, ...(await claimIds(one.store, { limit: 9 })));
  expect(taken.sort()).toEqual(ids(9));
});

test('a more urgent task of this process goes before all that is held', async () => {
  const { node } = aFleet();
  const { store } = node();
  await insertIds(store, ids(9));
  await claimOne(store);
  await insert(store, [aRecord({ id: 'urgent', rank: 1 }), aRecord({ id: 'later', rank: 2_000 })]);
  expect(await claimIds(store, { limit: 3 })).toEqual(['urgent', 't1', 't2']);
});

test('a more urgent task of another process goes next once its hint has arrived, and what is too much is given back', async () => {
  const { node, clock, storage } = aFleet();
  const [{ store }, other] = [node({ prefetchTasksMax: 10 }), node()];
  await insertIds(store, ids(40));
  await claimOne(store);
  await store.get([]);
  expect(storage.holds).toBe(10);
  await insert(
    other.store,
    ids(9, 'u').map((id) => aRecord({ id, rank: 1 })),
  );
  await clock.advance(25);
  expect(storage.holds).toBe(10);
  expect(await claimIds(store, { limit: 10 })).toEqual([...ids(9, 'u'), 't1']);
});

test('a task cancelled elsewhere is not handed out; where it was already, its holder learns it', async () => {
  const { node, clock } = aFleet();
  const [{ store, remote }, other] = [node(), node()];
  await insertIds(store, ids(4));
  await claimOne(store);
  await cancel(other.store, 't1');
  await clock.advance(25);
  await cancel(other.store, 't2');
  let isTold = false;
  const stop = store.watch(() => {
    isTold = true;
  });
  // The hint of the second cancel has not been acted on: the claim is made here, and refused there.
  const [held] = await store.claim(aClaim());
  expect(held?.id).toBe('t2');
  expect(await store.apply([aChange(held!, DONE)], NOW)).toEqual([null]);
  expect(isTold).toBe(true);
  expect((await read(store, 't2')).status).toBe('cancelled');
  expect(await claimIds(store, { limit: 9 })).toEqual(['t3']);
  stop();
  expect(remote.isAway).toBe(false);
});

test('an operator of this process writes a held task as if it were not held', async () => {
  const { node, storage } = aFleet();
  const { store } = node();
  await insertIds(store, ids(3));
  await claimOne(store);
  const waiting = await read(store, 't1');
  const [noted] = await store.apply([aChange(waiting, { details: '{"metadata":{"a":1}}' })], NOW);
  expect(noted?.record).toMatchObject({ version: 2, fence: 0 });
  expect(storage.holds).toBe(1);
  expect(await claimOne(store)).toMatchObject({
    id: 't1',
    fence: 1,
    version: 3,
    details: '{"metadata":{"a":1}}',
  });
});

test('while the store is away the node goes on with what it holds, and all is written when it is back', async () => {
  const { node, clock, storage } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(8));
  const held = [await claimOne(store)];
  await clock.advance(1_000);
  remote.isAway = true;
  const settlements = [finish(store, held[0]!)];
  await clock.advance(5_000);
  const away = await store.claim(aClaim({ limit: 3, to: 'in_progress', now: NOW + 6_000 }));
  expect(away.map(({ id }) => id)).toEqual(['t1', 't2', 't3']);
  settlements.push(...away.map((record) => finish(store, record)));
  await clock.advance(2_000);
  remote.isAway = false;
  await clock.advance(600);
  expect((await Promise.all(settlements)).map((record) => record?.version)).toEqual([3, 3, 3, 3]);
  expect(storage.holds).toBe(4);
  const events = await store.history('t1');
  expect(events.map(({ to }) => to)).toEqual(['pending', 'in_progress', 'completed']);
});

test('a lease given while the store is away never outlasts the hold, and without a hold nothing is given', async () => {
  const { node, clock } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(4));
  await claimOne(store);
  remote.isAway = true;
  await clock.advance(HOLD_MS - LEASE_MS + 5_000);
  const held = await claimOne(store, { now: NOW + 5_000 });
  expect(held.leaseExpiresAt! - (NOW + 5_000)).toBeLessThanOrEqual(LEASE_MS - 4_000);
  await clock.advance(LEASE_MS);
  await expect(store.claim(aClaim())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
});

test('submits and operators are refused at once while the store is away, readers too', async () => {
  const { node } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(2));
  const waiting = await read(store, 't1');
  remote.isAway = true;
  const refusal = { code: 'STORE_UNAVAILABLE' };
  await expect(store.insert([aRecord({ id: 'x' })], NOW)).rejects.toMatchObject(refusal);
  await expect(store.apply([aChange(waiting, { ...DONE, status: 'cancelled' })], NOW)).rejects.toMatchObject(
    refusal,
  );
  await expect(store.get(['t1'])).rejects.toMatchObject(refusal);
});

test('a settlement is given up when the store was away for longer than a hold; its claim is not', async () => {
  const { node, clock } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(3));
  await claimOne(store);
  await clock.settle();
  remote.isAway = true;
  const held = await claimOne(store);
  const refused = expect(finish(store, held)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await clock.advance(HOLD_MS + 1_000);
  await refused;
  remote.isAway = false;
  await clock.advance(1_000);
  expect(await finish(store, held)).toMatchObject({ status: 'completed', version: 3 });
});

test('a settlement whose answer was lost is asked for again, and is the same', async () => {
  const { node, clock } = aFleet();
  const { store, remote } = node();
  await insertIds(store, ids(3));
  await claimOne(store);
  await clock.settle();
  remote.isDeaf = true;
  const held = await claimOne(store);
  const settled = finish(store, held);
  await clock.settle();
  remote.isDeaf = false;
  await clock.advance(500);
  expect(await settled).toMatchObject({ status: 'completed', version: 3 });
  expect(await read(store, 't1')).toMatchObject({ status: 'completed', fence: held.fence });
});

test('what a killed node held comes back when its hold ends, under a fence that it never had', async () => {
  const { node, clock } = aFleet();
  const [dead, { store }] = [node(), node()];
  await insertIds(store, ids(3));
  await claimOne(dead.store, { owner: 'dead' });
  await dead.store.get([]);
  dead.remote.isAway = true;
  const [zombie] = await dead.store.claim(aClaim({ owner: 'dead' }));
  await clock.advance(HOLD_MS - 1);
  expect(await claimIds(store)).toEqual([]);
  await clock.advance(1);
  const heir = await claimOne(store, { now: NOW + HOLD_MS });
  expect(heir.id).toBe(zombie?.id);
  expect(heir.fence).toBeGreaterThan(zombie!.fence);
  dead.remote.isAway = false;
  await clock.advance(1_000);
  expect(await read(store, heir.id)).toMatchObject({ owner: 'w1', fence: heir.fence });
});

test('what a killed node may have started is handed out once its next claim is written: a crash can be charged', async () => {
  const { node, clock, storage } = aFleet();
  const [dead, { store, remote }] = [node(), node()];
  await insertIds(dead.store, ids(3));
  await claimOne(dead.store);
  await dead.store.get([]);
  dead.remote.isAway = true;
  expect(await claimIds(dead.store, { limit: 1 })).toEqual(['t1']);
  await clock.advance(HOLD_MS + 1);
  expect(await claimIds(store, { limit: 1 })).toEqual(['t1']);
  expect((await storage.tasks.get(['t1']))[0]).toMatchObject({ status: 'assigned', fence: 2 });
  remote.isAway = true;
  expect(await claimIds(store, { limit: 1 })).toEqual(['t2']);
});

test('close gives back at once what was held, and charges nothing', async () => {
  const { node, storage } = aFleet();
  const [one, two] = [node(), node()];
  await insertIds(one.store, ids(5));
  await claimOne(one.store);
  await one.store.get([]);
  expect(storage.holds).toBe(4);
  await one.store.close();
  expect(storage.holds).toBe(0);
  const [next] = await two.store.claim(aClaim());
  expect(next).toMatchObject({ id: 't1', fence: 1, crashes: 0 });
});

test('a claim under way while its store closes hands out nothing that is not written, and leaves nothing held', async () => {
  const { node, storage } = aFleet();
  const [one, two] = [node(), node()];
  await insertIds(two.store, ids(20));
  const late = one.store.claim(aClaim({ limit: 3 })).catch(() => []);
  const closed = one.store.close();
  const again = one.store.claim(aClaim({ limit: 3 })).catch(() => []);
  const handedOut = [...(await late), ...(await again)];
  await closed;
  const stored = await storage.tasks.get(handedOut.map(({ id }) => id));
  expect(stored.map((record) => record?.status)).toEqual(handedOut.map(() => 'assigned'));
  expect(storage.holds).toBe(0);
});

test('what waits too long here is given back', async () => {
  const { node, clock, storage } = aFleet();
  const { store } = node({ prefetchTasksMin: 0 });
  await insertIds(store, ids(300));
  await store.claim(aClaim({ limit: 100 }));
  await store.claim(aClaim({ limit: 1 }));
  expect(storage.holds).toBeGreaterThan(50);
  await clock.advance(4_000);
  expect(storage.holds).toBe(0);
  expect(clock.timers, 'an idle node is silent').toBe(0);
});

test('a slow consumer holds nothing ahead', async () => {
  const { node, storage, clock } = aFleet();
  const { store } = node({ prefetchTasksMin: 0 });
  await insertIds(store, ids(20));
  for (let i = 0; i < 10; i++) {
    await claimOne(store);
    await clock.advance(100);
  }
  expect(storage.holds).toBe(0);
});

test('pause resolves when every node has given back what it held', async () => {
  const { node, clock, storage } = aFleet();
  const [one, two] = [node(), node()];
  await insertIds(one.store, ids(30));
  await claimOne(one.store);
  await claimOne(two.store);
  await Promise.all([one.store.get([]), two.store.get([])]);
  expect(storage.holds).toBe(20);
  const paused = one.store.setPaused(true);
  await clock.advance(100);
  await paused;
  expect(storage.holds).toBe(0);
  expect(await claimIds(one.store)).toEqual([]);
  expect(await claimIds(two.store)).toEqual([]);
  await two.store.setPaused(false);
  expect(await claimIds(one.store, { limit: 2 })).toHaveLength(2);
});

test('pause waits for a node that does not answer, until its hold has ended', async () => {
  const { node, clock } = aFleet();
  const [one, two] = [node(), node()];
  await insertIds(one.store, ids(30));
  await claimOne(two.store);
  two.remote.isAway = true;
  let isPaused = false;
  const paused = one.store.setPaused(true).then(() => {
    isPaused = true;
  });
  await clock.advance(HOLD_MS - 5_000);
  expect(isPaused).toBe(false);
  expect((await two.store.claim(aClaim({ limit: 2 }))).length, 'it may go on until then').toBe(2);
  await clock.advance(6_000);
  await paused;
  await expect(two.store.claim(aClaim())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
});

test('memory is bounded, in tasks, in bytes and in writes that wait', async () => {
  const { node, clock, storage } = aFleet();
  const submission = JSON.stringify({ payload: { text: 'x'.repeat(10_000) } });
  const records = ids(60).map((id) => aRecord({ id, submission }));
  const { store } = node({ prefetchTasksMin: 50, prefetchBytesMax: 100_000 });
  await insert(store, records);
  await claimOne(store);
  await claimOne(store);
  await store.get([]);
  expect(storage.holds).toBeLessThanOrEqual(13);
  const limited = node({ prefetchTasksMin: 7, prefetchTasksMax: 7 });
  await claimOne(limited.store);
  await clock.settle();
  expect(storage.holds).toBeLessThanOrEqual(13 + 9);
});

test('with flushMs settlements are acknowledged at once and written later; reads see them all the same', async () => {
  const { node, clock } = aFleet();
  const [{ store, remote }, other] = [node({ flushMs: 200 }), node()];
  await insertIds(store, ids(6));
  const held = await store.claim(aClaim({ limit: 4 }));
  await clock.advance(200);
  const before = remote.calls;
  for (const record of held.slice(0, 3))
    expect(await finish(store, record)).toMatchObject({ status: 'completed' });
  expect(remote.calls - before, 'one write at most is under way').toBeLessThanOrEqual(1);
  await clock.advance(200);
  expect((await read(other.store, 't2')).status).toBe('completed');
  await finish(store, held[3]!);
  expect((await read(store, 't3')).status).toBe('completed');
});

async function cancel(store: HybridTaskStore, id: string): Promise<void> {
  const record = await read(store, id);
  const [applied] = await store.apply([aChange(record, { ...DONE, status: 'cancelled' })], NOW);
  expect(applied).not.toBeNull();
}

async function finish(store: HybridTaskStore, record: TaskRecord): Promise<TaskRecord | null> {
  const change = aChange(record, DONE);
  const event = { ...change.event!, worker: record.owner! };
  const [applied] = await store.apply([{ ...change, event }], NOW);
  return applied?.record ?? null;
}

test('the pause of a type resolves when nobody holds any of it, and others of what was held go on', async () => {
  const { clock, node } = aFleet();
  const [{ store }, { store: other }] = [node(), node()];
  const types = ['x', 'y', 'x', 'y', 'x', 'y'];
  await insert(
    store,
    types.map((agentType, i) => aRecord({ id: `t${i}`, agentType })),
  );
  expect((await claimOne(store)).id).toBe('t0');
  let isPaused = false;
  const pausing = other.setGates([{ key: '@type:x', isPaused: true }], NOW).then(() => {
    isPaused = true;
  });
  for (let ms = 0; ms < 250 && !isPaused; ms += 10) await clock.advance(10);
  expect(isPaused).toBe(true);
  await pausing;
  expect(await claimIds(store, { limit: 9 })).toEqual(['t1', 't3', 't5']);
  await other.setGates([{ key: '@type:x', isPaused: false }], NOW);
  expect(await claimIds(store, { limit: 9 })).toEqual(['t2', 't4']);
});

test('tasks with a quota are claimed among those that are held, and never held themselves', async () => {
  const { node, storage } = aFleet();
  const { store } = node();
  const quota = { limits: [{ key: 'k', weight: 1 }], fairKey: null, fairWeight: 1 };
  await insert(
    store,
    [1, 3, 5, 7].map((rank) => aRecord({ id: `plain${rank}`, rank })),
  );
  expect((await claimOne(store)).id).toBe('plain1');
  await store.get([]);
  const limited = [2, 4, 6].map((rank) => aRecord({ id: `k${rank}`, rank, quota }));
  await store.insert(limited, NOW, [{ key: 'k', rule: { max: 2, rate: null } }]);
  expect(storage.holds).toBe(3);
  expect(await claimIds(store, { limit: 9 })).toEqual(['k2', 'plain3', 'k4', 'plain5', 'plain7']);
  expect((await store.gates(['k']))[0]?.used).toBe(2);
});
