import assert from 'node:assert/strict';
import { isEnded, isLeased, TASK_STATUSES } from '../../queue/task.ts';
import type { TaskRecord, TaskStore } from '../../queue/task-store.ts';
import type { ConformanceCase } from '../conformance.ts';
import { seededRandom } from '../seeded-random.ts';
import type { StoreHarness } from '../task-store-conformance.ts';
import { aClaim, aRecord, change, end, insert, LEASE_MS, listAll, NOW, on, read } from './steps.ts';

const STEPS = 250;

export const randomWalkCases: readonly ConformanceCase<StoreHarness>[] = [1, 2, 3].map((seed) => ({
  name: `counts, due times, leases and claims agree with the records all along a random walk (${seed})`,
  run: ({ store }: StoreHarness) => walk(store, seed),
}));

/** Does random things to a store and compares what it counts with what it holds. */
async function walk(store: TaskStore, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];
  let now = NOW;
  for (let step = 0; step < STEPS; step++) {
    now += Math.floor(random() * 20);
    const records = await listAll(store);
    await oneStep(store, records, `t${step}`, now, random, pick);
    if (step % 5 === 0) await compare(store, now);
  }
  await compare(store, now + 1_000);
}

async function oneStep(
  store: TaskStore,
  records: readonly TaskRecord[],
  newId: string,
  now: number,
  random: () => number,
  pick: <T>(items: readonly T[]) => T | undefined,
): Promise<void> {
  const dice = random();
  const live = pick(records.filter((record) => !isEnded(record.status)));
  const held = pick(records.filter((record) => isLeased(record.status)));
  if (dice < 0.35) {
    const dependency = random() < 0.3 ? pick(records) : undefined;
    const word = pick(['success', 'failure', 'completion'] as const)!;
    const dependsOn = dependency ? [on(dependency.id, word)] : [];
    const runAt = dependsOn.length === 0 && random() < 0.4 ? now + Math.floor(random() * 100) : now;
    const agentType = pick(['x', 'y', null])!;
    await insert(
      store,
      [aRecord({ id: newId, rank: Math.floor(random() * 10), runAt, createdAt: now, dependsOn, agentType })],
      now,
    );
  } else if (dice < 0.6) {
    await claimAsPromised(store, records, 1 + Math.floor(random() * 3), now);
  } else if (dice < 0.75 && held) {
    await end(store, held.id, pick(['completed', 'failed', 'cancelled'] as const)!, now);
  } else if (dice < 0.9 && held) {
    const status = pick(['retrying', 'pending', 'waiting'] as const)!;
    await change(
      store,
      held,
      { status, runAt: now + Math.floor(random() * 60), owner: null, leaseExpiresAt: null },
      now,
    );
  } else if (dice < 0.95 && live) {
    await end(store, live.id, 'cancelled', now);
  } else {
    await store.purge(now - 200, 3);
  }
}

async function claimAsPromised(
  store: TaskStore,
  records: readonly TaskRecord[],
  limit: number,
  now: number,
): Promise<void> {
  const expected = claimable(records, now)
    .sort((a, b) => a.rank - b.rank || a.seq - b.seq)
    .slice(0, limit)
    .map((record) => record.id);
  const taken = await store.claim(aClaim({ limit, now, leaseExpiresAt: now + LEASE_MS }));
  assert.deepEqual(
    taken.map((record) => record.id),
    expected,
  );
}

function claimable(records: readonly TaskRecord[], now: number): TaskRecord[] {
  return unblocked(records).filter((record) => record.runAt <= now);
}

function unblocked(records: readonly TaskRecord[]): TaskRecord[] {
  return records.filter(
    ({ status, blockedBy }) => (status === 'pending' || status === 'retrying') && blockedBy.length === 0,
  );
}

async function compare(store: TaskStore, now: number): Promise<void> {
  const records = await listAll(store);
  const counts = await store.counts(now);
  for (const status of TASK_STATUSES) {
    assert.equal(
      counts.byStatus[status],
      records.filter((record) => record.status === status).length,
      status,
    );
  }
  const due = unblocked(records)
    .map((record) => record.runAt)
    .filter((runAt) => runAt > now);
  assert.equal(counts.delayed, due.length, 'delayed');
  assert.equal(
    counts.blocked,
    records.filter((record) => !isEnded(record.status) && record.blockedBy.length > 0).length,
    'blocked',
  );
  const ready = claimable(records, now).map((record) => record.createdAt);
  if (ready.length === 0) assert.equal(counts.oldestReadyAt, null, 'oldestReadyAt');
  else assert.ok(ready.includes(counts.oldestReadyAt!), 'oldestReadyAt is the creation of a claimable task');
  assert.deepEqual(await store.outlook(now), {
    hasExpired: (await store.expired(now, 1)).length > 0,
    hasAlarmed: (await store.alarmed(now, 1)).length > 0,
    hasUnjudged: (await store.unjudged(1)).length > 0,
    hasPending: records.some(({ status }) => status === 'pending' || status === 'retrying'),
    nextDueAt: due.length === 0 ? null : Math.min(...due),
  });
  const overdue = records.filter(
    (record) => record.leaseExpiresAt !== null && record.leaseExpiresAt <= now + LEASE_MS,
  );
  assert.equal((await store.expired(now + LEASE_MS, 1_000)).length, overdue.length, 'expired');
  for (const record of records) assert.deepEqual(await read(store, record.id), record);
}
