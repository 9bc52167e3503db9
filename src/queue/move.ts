import { JottyError } from '../errors.ts';
import { TIME_MS_MAX } from './bounds.ts';
import { toEdge } from './dependencies.ts';
import { hashOf, isSameContent } from './submission.ts';
import { isEnded, isLeased, type TaskEvent } from './task.ts';
import type { Change, Edge, NewRecord, TaskRecord, TaskState, TaskStore } from './task-store.ts';
import { readSubmission } from './task-view.ts';

/** Tasks read, and written, at a time. */
const PAGE_TASKS = 500;

/** A task that is on its way is not claimable before this time, which no submitter can give. */
const ON_ITS_WAY = TIME_MS_MAX + 1;

export interface MoveReport {
  /** Tasks that were taken over. */
  readonly moved: number;
  /** Tasks the target had already, from an earlier move. */
  readonly present: number;
  /** Ids under which the target has another task; these were left where they are. */
  readonly conflicts: readonly string[];
}

export interface Move {
  readonly source: TaskStore;
  readonly target: TaskStore;
  readonly copyThreads: (taskIds: readonly string[]) => Promise<void>;
  readonly now: () => number;
  readonly onPage: (moved: number) => void;
}

function stillBusy(taskId: string): JottyError {
  return new JottyError(
    'QUEUE_BUSY',
    `task ${taskId} is held by a worker; pause the queue, and move it when nothing runs`,
  );
}

interface Pair {
  readonly from: TaskRecord;
  readonly to: TaskRecord;
}

/**
 * Takes over the tasks of a store with a sequence above `after`, in order: as they stand, with their history,
 * ended ones too. Each is inserted out of the reach of claims, its checkpoints are copied, its events are
 * replayed, and the last of these steps makes it what it was. A move that was cut off is repeated: what has
 * arrived is left, what is half-way goes on.
 *
 * The source must stand still: paused, and nothing leased.
 */
export async function moveTasks(move: Move, after: number): Promise<MoveReport & { readonly last: number }> {
  const { source, onPage } = move;
  const conflicts: string[] = [];
  let [moved, present, last] = [0, 0, after];
  for (let next: number | null = after; next !== null; ) {
    const page = await source.list({
      statuses: null,
      agentTypes: null,
      createdAfter: null,
      after: next,
      limit: PAGE_TASKS,
    });
    for (const { id, status } of page.records) if (isLeased(status)) throw stillBusy(id);
    const pairs = await place(move, page.records);
    const same = pairs.filter(({ from, to }) => isSameContent(from, to));
    const open = same.filter(({ to }) => isOnItsWay(to));
    for (const { from } of pairs.filter((pair) => !same.includes(pair))) conflicts.push(from.id);
    await bring(move, open);
    moved += open.length;
    present += same.length - open.length;
    last = page.records.at(-1)?.seq ?? last;
    next = page.next;
    onPage(moved);
  }
  return { moved, present, conflicts, last };
}

/** Inserts what the target does not have, dependencies before their dependents, and returns all as they stand there. */
async function place({ source, target, now }: Move, records: readonly TaskRecord[]): Promise<Pair[]> {
  const pairs: Pair[] = [];
  const known = await target.get(records.map((record) => record.id));
  const missing = records.filter((_, i) => known[i] === null);
  const batch = await withDependencies(source, target, missing);
  if (batch.length > 0) await target.insert(batch.map(asNew), now());
  const all = [...records, ...batch.filter((record) => !records.includes(record))];
  const placed = await target.get(all.map((record) => record.id));
  all.forEach((from, i) => {
    const to = placed[i];
    if (to) pairs.push({ from, to });
  });
  return pairs;
}

/** A dependency may have been submitted after its dependent, in the same batch: it comes along. */
async function withDependencies(
  source: TaskStore,
  target: TaskStore,
  records: readonly TaskRecord[],
): Promise<TaskRecord[]> {
  const batch = new Map(records.map((record) => [record.id, record]));
  let wanted = records.flatMap((record) => record.blockedBy);
  while (wanted.length > 0) {
    const ids = [...new Set(wanted)].filter((id) => !batch.has(id));
    const there = await target.get(ids);
    const found = await source.get(ids.filter((_, i) => there[i] === null));
    const records = found.filter((record) => record !== null);
    for (const record of records) batch.set(record.id, record);
    wanted = records.flatMap((record) => record.blockedBy);
  }
  return [...batch.values()];
}

function asNew(record: TaskRecord): NewRecord {
  const { id, priority, agentType, agent, rank, createdAt } = record;
  // A store in process has neither text nor hash; the target may want both.
  const submission = record.submission || JSON.stringify(record.content);
  const hash = record.hash || hashOf(id, submission);
  const dependsOn = undecidedEdges(record);
  return { id, submission, hash, priority, agentType, agent, rank, createdAt, runAt: ON_ITS_WAY, dependsOn };
}

/** The edges still open; what they wait for is only told by the submission. */
function undecidedEdges(record: TaskRecord): Edge[] {
  if (record.blockedBy.length === 0) return [];
  const edges = (readSubmission(record).dependsOn ?? []).map(toEdge);
  return edges.filter((edge) => record.blockedBy.includes(edge.dependencyId));
}

/** Makes what was inserted what it was: checkpoints, then the history event by event, and with the last the state. */
async function bring(move: Move, pairs: readonly Pair[]): Promise<void> {
  const { source, target, copyThreads, now } = move;
  await copyThreads(pairs.filter(({ from }) => from.fence > 0).map(({ from }) => from.id));
  const histories = await Promise.all(pairs.map(({ from }) => source.history(from.id)));
  let steps = pairs.map(({ from, to }, i) => ({ from, to, history: histories[i]! }));
  while (steps.length > 0) {
    await target.apply(
      steps.map(({ from, to, history }) => nextStep(from, to, history)),
      now(),
    );
    // Read again rather than believed: an ending may have decided an edge of one of the others meanwhile.
    const records = await target.get(steps.map(({ from }) => from.id));
    steps = steps.flatMap((step, i) => {
      const to = records[i];
      return to && isOnItsWay(to) ? [{ ...step, to }] : [];
    });
  }
}

/** A task whose dependency has failed there is skipped on arrival, and has arrived. */
function isOnItsWay({ runAt, status }: TaskRecord): boolean {
  return runAt === ON_ITS_WAY && !isEnded(status);
}

/** The next event that is not there yet; its own first one stands for the submission. */
function nextStep(from: TaskRecord, to: TaskRecord, history: readonly TaskEvent[]): Change {
  const own = history[0]?.from === null ? history.slice(1) : history;
  const [event, ...later] = own.slice(to.events - 1);
  const isLast = later.length === 0;
  const next = stateOf(from);
  const change = {
    id: from.id,
    version: to.version,
    next: isLast ? next : { ...next, status: 'waiting' as const, runAt: ON_ITS_WAY },
  };
  if (event === undefined) return change;
  const { taskId: _, seq: __, ...rest } = event;
  return { ...change, event: rest };
}

function stateOf(record: TaskRecord): TaskState {
  const { status, runAt, retryCount, crashes, fence, owner, leaseExpiresAt } = record;
  const { startedAt, completedAt, result, details } = record;
  return {
    status,
    runAt,
    retryCount,
    crashes,
    fence,
    owner,
    leaseExpiresAt,
    startedAt,
    completedAt,
    result,
    details,
  };
}
