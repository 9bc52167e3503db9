import { edgeVerdict } from '../../dependencies.ts';
import type { EndStatus } from '../../task.ts';
import type { Edge, NewRecord, TaskRecord, TaskState } from '../../task-store.ts';
import type { PastEvent } from './past-event.ts';

/** An edge between two tasks in memory. */
export interface MemoryEdge extends Edge {
  readonly taskId: string;
  verdict: 'undecided' | 'unjudged' | 'holds' | 'fails';
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Where a task waits: in its lane, for its time, for its dependencies, or not at all. */
export type Stage = 'ready' | 'delayed' | 'blocked' | 'none';

/** One task in memory: its record, which never leaves the store but as a copy, and what hangs on it. */
export interface MemoryEntry {
  readonly record: Writable<TaskRecord>;
  /** The newest event but the first, which the record itself tells. */
  latest: PastEvent | null;
  readonly edges: readonly MemoryEdge[];
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
    edges: record.dependsOn.length === 0 ? NO_EDGES : newEdges(record),
    dependents: null,
    stage: 'none',
    isInLane: false,
  };
}

function newRecord(inserted: NewRecord, seq: number): Writable<TaskRecord> {
  const { id, submission, content, hash, priority, agentType, agent, rank, createdAt, runAt } = inserted;
  const record: Writable<TaskRecord> = {
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
    startedAt: null,
    completedAt: null,
    result: null,
    details: null,
    version: 1,
    events: 1,
    blockedBy: NO_IDS,
    content,
  };
  // Absent where there is none, as in what was inserted.
  if (content === undefined) delete record.content;
  return record;
}

function newEdges({ id, dependsOn }: NewRecord): MemoryEdge[] {
  return dependsOn.map((edge) => ({ ...edge, taskId: id, verdict: 'undecided' }));
}

export function copyOf({ record }: MemoryEntry): TaskRecord {
  return { ...record, blockedBy: record.blockedBy.length === 0 ? [] : [...record.blockedBy] };
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

export function decideEdge(edge: MemoryEdge, ended: EndStatus): void {
  if (edge.verdict === 'undecided') edge.verdict = edgeVerdict(edge.on, ended);
}
