import assert from 'node:assert/strict';
import type { ClaimFilter } from '../../queue/claim-filter.ts';
import { isEnded, type TaskEvent, type TaskStatus } from '../../queue/task.ts';
import type {
  Applied,
  Change,
  Claim,
  Edge,
  Effects,
  NewRecord,
  TaskRecord,
  TaskState,
  TaskStore,
} from '../../queue/task-store.ts';

/** The time at which the cases start. A full minute, so that minutes of throughput are easy to count. */
export const NOW = 1_699_999_980_000;
export const LEASE_MS = 30_000;

export const NO_EFFECTS: Effects = { released: [], skipped: [], unjudged: false };

/** A task as the engine would hand it to a store. `rank` decides the order, as everywhere. */
export function aRecord(record: Partial<NewRecord> & { readonly id: string }): NewRecord {
  return {
    submission: `{"payload":{"name":${JSON.stringify(record.id)}}}`,
    hash: 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=',
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

/** An edge to `dependencyId`; by default it wants success. */
export function on(
  dependencyId: string,
  word: Edge['on'] = 'success',
  condition: string | null = null,
): Edge {
  return { dependencyId, on: word, condition };
}

/** Inserts the records and demands that they were taken. */
export async function insert(
  store: TaskStore,
  records: readonly NewRecord[],
  now: number = NOW,
): Promise<Effects> {
  const outcome = await store.insert(records, now);
  assert.deepEqual(outcome.conflicts, [], 'no conflicts');
  assert.deepEqual(outcome.unknown, [], 'no unknown dependencies');
  return outcome.effects;
}

/** Inserts one plain task per id, in that order. */
export function insertIds(store: TaskStore, ids: readonly string[]): Promise<Effects> {
  return insert(
    store,
    ids.map((id) => aRecord({ id })),
  );
}

export function aClaim(claim: Partial<Claim> = {}): Claim {
  const now = claim.now ?? NOW;
  return {
    limit: 1,
    owner: 'w1',
    leaseExpiresAt: now + LEASE_MS,
    filter: null,
    to: 'assigned',
    now,
    ...claim,
  };
}

export function aFilter(filter: Partial<ClaimFilter>): ClaimFilter {
  return { agentTypes: null, priorityMin: null, ids: null, runnableBy: null, ...filter };
}

/** Claims one task and demands that there was one. */
export async function claimOne(store: TaskStore, claim: Partial<Claim> = {}): Promise<TaskRecord> {
  const [record] = await store.claim(aClaim(claim));
  assert.ok(record, 'a task was claimed');
  return record;
}

/** The ids of what a claim takes, in the order it takes them. */
export async function nextDueAt(store: TaskStore, now: number): Promise<number | null> {
  return (await store.outlook(now)).nextDueAt;
}

export async function claimIds(store: TaskStore, claim: Partial<Claim> = {}): Promise<string[]> {
  return (await store.claim(aClaim({ limit: 100, ...claim }))).map((record) => record.id);
}

/** One record that must be there. */
export async function read(store: TaskStore, id: string): Promise<TaskRecord> {
  const [record] = await store.get([id]);
  assert.ok(record, `${id} is stored`);
  return record;
}

function stateOf(record: TaskState): TaskState {
  const { status, runAt, retryCount, crashes, fence, owner } = record;
  const { leaseExpiresAt, alarmAt, startedAt, completedAt, result, details } = record;
  return {
    status,
    runAt,
    retryCount,
    crashes,
    fence,
    owner,
    leaseExpiresAt,
    alarmAt,
    startedAt,
    completedAt,
    result,
    details,
  };
}

/** The change that moves a record to `next`, with its event, as the engine would ask for it. */
export function aChange(record: TaskRecord, next: Partial<TaskState>, at: number = NOW): Change {
  const state = { ...stateOf(record), ...next };
  const event: Omit<TaskEvent, 'taskId' | 'seq'> = { from: record.status, to: state.status, at };
  const change = { id: record.id, version: record.version, next: state };
  return state.status === record.status ? change : { ...change, event };
}

/** Applies one change and demands that it was taken. */
export async function change(
  store: TaskStore,
  record: TaskRecord,
  next: Partial<TaskState>,
  at: number = NOW,
): Promise<Applied> {
  const [applied] = await store.apply([aChange(record, next, at)], at);
  assert.ok(applied, `the change of ${record.id} was taken`);
  return applied;
}

/** Ends a task, whatever it does at the moment. */
export async function end(
  store: TaskStore,
  id: string,
  status: TaskStatus,
  at: number = NOW,
): Promise<Applied> {
  assert.ok(isEnded(status));
  const result = status === 'completed' ? '"done"' : null;
  const record = await read(store, id);
  const over = { status, owner: null, leaseExpiresAt: null, alarmAt: null, completedAt: at, result };
  return change(store, record, over, at);
}

/** The statuses of some tasks, by id. */
export async function statuses(
  store: TaskStore,
  ids: readonly string[],
): Promise<Record<string, string | null>> {
  const records = await store.get(ids);
  return Object.fromEntries(ids.map((id, i) => [id, records[i]?.status ?? null]));
}

/** The whole list, page by page. */
export async function listAll(store: TaskStore, limit = 100): Promise<TaskRecord[]> {
  const all: TaskRecord[] = [];
  for (let after: number | null = 0; after !== null; ) {
    const page = await store.list({ statuses: null, agentTypes: null, createdAfter: null, after, limit });
    all.push(...page.records);
    after = page.next;
  }
  return all;
}

/** Ids in alphabetical order, for answers whose order is not promised. */
export function sorted(ids: readonly string[]): string[] {
  return [...ids].sort();
}
