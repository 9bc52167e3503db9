import type { TaskRecord, TaskState } from '../../task-store.ts';

/** A held task as its claim leaves it. Fields are named one by one: a spread of this size costs twenty times as much. */
export function claimOf(
  held: TaskRecord,
  status: 'assigned' | 'in_progress',
  owner: string,
  leaseExpiresAt: number,
  startedAt: number | null,
): TaskRecord {
  return {
    seq: held.seq,
    id: held.id,
    submission: held.submission,
    hash: held.hash,
    priority: held.priority,
    agentType: held.agentType,
    agent: held.agent,
    rank: held.rank,
    createdAt: held.createdAt,
    status,
    runAt: held.runAt,
    retryCount: held.retryCount,
    crashes: held.crashes,
    fence: held.fence + 1,
    owner,
    leaseExpiresAt,
    startedAt,
    completedAt: held.completedAt,
    result: held.result,
    details: held.details,
    version: held.version + 1,
    events: held.events + 1,
    blockedBy: [],
  };
}

/** What changes of a task: a copy of its own, since records belong to whoever got them. */
export function stateOf(record: TaskState): TaskState {
  return {
    status: record.status,
    runAt: record.runAt,
    retryCount: record.retryCount,
    crashes: record.crashes,
    fence: record.fence,
    owner: record.owner,
    leaseExpiresAt: record.leaseExpiresAt,
    startedAt: record.startedAt,
    completedAt: record.completedAt,
    result: record.result,
    details: record.details,
  };
}
