import { edgeVerdict } from '../../dependencies.ts';
import type { EndStatus, TaskEvent } from '../../task.ts';
import { type Edge, HISTORY_EVENTS_MAX, type NewRecord, type TaskRecord } from '../../task-store.ts';

/** An edge between two tasks in memory. */
export interface MemoryEdge extends Edge {
  readonly taskId: string;
  verdict: 'undecided' | 'unjudged' | 'holds' | 'fails';
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type HistoryEvent = Omit<TaskEvent, 'taskId' | 'seq'>;

/** One task in memory: its record, which never leaves the store but as a copy, and what hangs on it. */
export interface MemoryEntry {
  readonly record: Writable<TaskRecord>;
  /** The newest events but the first, which the record itself tells; their seqs end with `record.events`. */
  history: HistoryEvent[];
  readonly edges: readonly MemoryEdge[];
  /** Edges of other tasks that wait for this one. */
  readonly dependents: MemoryEdge[];
  /** Where it waits: in its lane's heap, for its time, for its dependencies, or not at all. */
  stage: 'ready' | 'delayed' | 'blocked' | 'none';
  /** An entry stays in its lane's heap until it is popped; meanwhile its stage tells whether it counts. */
  isInLane: boolean;
}

const NO_EDGES: readonly MemoryEdge[] = [];
const NO_HISTORY: HistoryEvent[] = [];
const NO_IDS: readonly string[] = [];

export function newEntry(record: NewRecord, seq: number): MemoryEntry {
  const edges =
    record.dependsOn.length === 0
      ? NO_EDGES
      : record.dependsOn.map((edge): MemoryEdge => ({ ...edge, taskId: record.id, verdict: 'undecided' }));
  const { id, submission, content, hash, priority, agentType, agent, rank, createdAt, runAt } = record;
  const stored: Writable<TaskRecord> = {
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
  if (content === undefined) delete stored.content;
  return {
    record: stored,
    history: NO_HISTORY,
    edges,
    dependents: [],
    stage: 'none',
    isInLane: false,
  };
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

/** Most tasks have two events after the first; an array that is pushed to would hold room for seventeen. */
const EXACT_EVENTS_MAX = 4;

export function appendEvent(entry: MemoryEntry, event: HistoryEvent): void {
  entry.record.events++;
  if (entry.history.length < EXACT_EVENTS_MAX) {
    entry.history = entry.history.concat(event);
    return;
  }
  entry.history.push(event);
  if (entry.history.length > HISTORY_EVENTS_MAX) entry.history.shift();
}

export function eventsOf({ record, history }: MemoryEntry): TaskEvent[] {
  const { id: taskId, events, createdAt } = record;
  const firstSeq = events - history.length + 1;
  const tail = history.map((event, i) => ({ taskId, seq: firstSeq + i, ...event }));
  const isWhole = firstSeq === 2 && tail.length < HISTORY_EVENTS_MAX;
  return isWhole ? [{ taskId, seq: 1, from: null, to: 'pending', at: createdAt }, ...tail] : tail;
}
