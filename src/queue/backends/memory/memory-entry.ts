import type { Edge, NewRecord, TaskRecord, TaskState } from '../../task-store.ts';
import type { PastEvent } from './past-event.ts';

/** An edge between two tasks in memory. */
export interface MemoryEdge extends Edge {
  readonly taskId: string;
  verdict: 'undecided' | 'unjudged' | 'holds' | 'fails' | 'void';
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Where a task waits: in its lane, for its time, for its dependencies, or not at all. */
export type Stage = 'ready' | 'delayed' | 'blocked' | 'none';

/** One task in memory: its record, which never leaves the store but as a copy, and what hangs on it. */
export interface MemoryEntry {
  readonly record: Writable<TaskRecord>;
  /** The newest event but the first, which the record itself tells. */
  latest: PastEvent | null;
  /** Its undecided edges, and those decided since. */
  edges: readonly MemoryEdge[];
  /** Whether the first edge that holds is enough. */
  join: 'all' | 'any';
  /** Edges of other tasks that wait for this one. */
  dependents: MemoryEdge[] | null;
  stage: Stage;
  /** An entry stays in its lane until it is popped; meanwhile its stage tells whether it counts. */
  isInLane: boolean;
}

const NO_EDGES: readonly MemoryEdge[] = [];
export const NO_IDS: readonly string[] = [];

export function newEntry(record: NewRecord, seq: number): MemoryEntry {
  return {
    record: newRecord(record, seq),
    latest: null,
    edges: newEdges(record.id, record.dependsOn),
    join: record.join,
    dependents: null,
    stage: 'none',
    isInLane: false,
  };
}

function newRecord(inserted: NewRecord, seq: number): Writable<TaskRecord> {
  const { id, submission, content, hash, priority, agentType, agent, rank, createdAt, runAt } = inserted;
  const { alarmAt, quota } = inserted;
  return {
    seq,
    id,
    submission,
    hash,
    priority,
    agentType,
    agent,
    rank,
    createdAt,
    status: 'pending',
    runAt,
    retryCount: 0,
    crashes: 0,
    fence: 0,
    owner: null,
    leaseExpiresAt: null,
    alarmAt,
    startedAt: null,
    completedAt: null,
    result: null,
    details: null,
    version: 1,
    events: 1,
    blockedBy: NO_IDS,
    content,
    // Also where there is none: records of two shapes would cost every claim and settlement.
    quota,
  };
}

export function newEdges(taskId: string, dependsOn: readonly Edge[]): readonly MemoryEdge[] {
  if (dependsOn.length === 0) return NO_EDGES;
  return dependsOn.map((edge) => ({ ...edge, taskId, verdict: 'undecided' }));
}

/**
 * Each field is written out: copies made by a spread have a hidden class of their own, which is forgotten whenever
 * no copy is left, and all compiled code that looks at records with it.
 */
export function copyOf({ record }: MemoryEntry): TaskRecord {
  return {
    seq: record.seq,
    id: record.id,
    submission: record.submission,
    hash: record.hash,
    priority: record.priority,
    agentType: record.agentType,
    agent: record.agent,
    rank: record.rank,
    createdAt: record.createdAt,
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
    version: record.version,
    events: record.events,
    blockedBy: record.blockedBy.length === 0 ? [] : [...record.blockedBy],
    content: record.content,
    quota: record.quota,
  };
}

/** Field by field: a change must never carry identity fields into a record. */
export function assignState(record: MemoryEntry['record'], next: TaskState): void {
  record.status = next.status;
  record.runAt = next.runAt;
  record.retryCount = next.retryCount;
  record.crashes = next.crashes;
  record.fence = next.fence;
  record.owner = next.owner;
  record.leaseExpiresAt = next.leaseExpiresAt;
  record.alarmAt = next.alarmAt;
  record.startedAt = next.startedAt;
  record.completedAt = next.completedAt;
  record.result = next.result;
  record.details = next.details;
}

export function undecidedIds(entry: MemoryEntry): readonly string[] {
  if (entry.edges.length === 0) return NO_IDS;
  return entry.edges.filter((edge) => isOpen(edge)).map((edge) => edge.dependencyId);
}

function isOpen(edge: MemoryEdge): boolean {
  return edge.verdict === 'undecided' || edge.verdict === 'unjudged';
}
