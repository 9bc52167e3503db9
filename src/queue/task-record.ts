import type { TaskIdentity, TaskRecord, TaskState } from './task-store.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The changing part of a record, as a copy that nobody else has. Here and below each field is written out: this
 * runs for every claim and settlement, and a spread of this size costs many times as much.
 */
export function stateOf(record: TaskState): Writable<TaskState> {
  return {
    status: record.status,
    runAt: record.runAt,
    retryCount: record.retryCount,
    crashes: record.crashes,
    fence: record.fence,
    owner: record.owner,
    leaseExpiresAt: record.leaseExpiresAt,
    alarmAt: record.alarmAt,
    startedAt: record.startedAt,
    completedAt: record.completedAt,
    result: record.result,
    details: record.details,
  };
}

/** A task as it stands after a change: what never changes of it, its new state, and what counts its writes. */
export function recordOf(
  identity: TaskIdentity & Pick<TaskRecord, 'seq'>,
  next: TaskState,
  version: number,
  events: number,
  blockedBy: readonly string[],
): TaskRecord {
  const record: Writable<TaskRecord> = {
    seq: identity.seq,
    id: identity.id,
    submission: identity.submission,
    hash: identity.hash,
    priority: identity.priority,
    agentType: identity.agentType,
    agent: identity.agent,
    rank: identity.rank,
    createdAt: identity.createdAt,
    status: next.status,
    runAt: next.runAt,
    retryCount: next.retryCount,
    crashes: next.crashes,
    fence: next.fence,
    owner: next.owner,
    leaseExpiresAt: next.leaseExpiresAt,
    alarmAt: next.alarmAt,
    startedAt: next.startedAt,
    completedAt: next.completedAt,
    result: next.result,
    details: next.details,
    version,
    events,
    blockedBy,
  };
  if (identity.quota !== undefined) record.quota = identity.quota;
  return record;
}
