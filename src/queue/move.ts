import { JottyError } from '../errors.ts';
import { logBefore, logHead } from './log-segment.ts';
import { ON_ITS_WAY, type Pair, place } from './placement.ts';
import { isEnded, isLeased, type TaskEvent } from './task.ts';
import type { TaskLog } from './task-log.ts';
import { stateOf } from './task-record.ts';
import type { Change, TaskRecord, TaskStore } from './task-store.ts';

/** Tasks read, and written, at a time. */
const PAGE_TASKS = 500;
const EVERYTHING = { statuses: null, agentTypes: null, createdAfter: null };

export interface MoveReport {
  /** Tasks that were taken over. */
  readonly moved: number;
  /** Tasks the target had already, from an earlier move. */
  readonly present: number;
  /**
   * Tasks that were left where they are: the target has another task under the id, or under that of something
   * they wait for, or what they wait for is gone.
   */
  readonly conflicts: readonly string[];
}

export interface Move {
  readonly source: TaskStore;
  readonly target: TaskStore;
  /** Copies what belongs to these tasks and stands elsewhere: checkpoints, plans, accounts. */
  readonly copyBeside: (records: readonly TaskRecord[]) => Promise<void>;
  readonly now: () => number;
  /** Called after each page: all up to the sequence `last` has arrived, or is among the conflicts. */
  readonly onPage: (moved: number, last: number) => Promise<void>;
}

function stillBusy(taskId: string): JottyError {
  return new JottyError(
    'QUEUE_BUSY',
    `task ${taskId} is held by a worker; pause the queue, and move it when nothing runs`,
  );
}

/**
 * Takes over the tasks of a store with a sequence above `after`, in order: as they stand, with their history and log,
 * ended ones too. Each is inserted out of the reach of claims, what stands beside it is copied, its events are
 * replayed, and the last of these steps makes it what it was. A move that was cut off is repeated: what has
 * arrived is left, what is half-way goes on.
 *
 * The source must stand still: paused, and nothing leased.
 */
export async function moveTasks(move: Move, after: number): Promise<MoveReport> {
  const conflicts: string[] = [];
  let [moved, present] = [0, 0];
  for (let from: number | null = after; from !== null; ) {
    const page = await move.source.list({ ...EVERYTHING, after: from, limit: PAGE_TASKS });
    for (const { id, status } of page.records) if (isLeased(status)) throw stillBusy(id);
    const { pairs, left } = await place(move, page.records, from);
    const open = pairs.filter(({ to }) => isOnItsWay(to));
    await bring(move, open);
    moved += open.length;
    present += pairs.length - open.length;
    conflicts.push(...left);
    from = page.next;
    const last = page.records.at(-1)?.seq;
    if (last !== undefined) await move.onPage(moved, last);
  }
  return { moved, present, conflicts };
}

/** Makes what was inserted what it was: what is beside it, then the history event by event, and with the last the state. */
async function bring(move: Move, pairs: readonly Pair[]): Promise<void> {
  const { source, target, copyBeside, now } = move;
  await copyBeside(pairs.map(({ from }) => from));
  let steps = await Promise.all(
    pairs.map(async ({ from, to }) => ({
      from,
      to,
      history: await source.history(from.id),
      log: await logHead(source, from.id),
    })),
  );
  while (steps.length > 0) {
    await target.apply(await Promise.all(steps.map((step) => nextStep(source, step))), now());
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

interface Step extends Pair {
  readonly history: readonly TaskEvent[];
  readonly log: TaskLog;
}

/** The next event that is not there yet, with the log before it; its own first one stands for the submission. */
async function nextStep(source: TaskStore, { from, to, history, log }: Step): Promise<Change> {
  const own = history[0]?.from === null ? history.slice(1) : history;
  const [event, ...later] = own.slice(to.events - 1);
  const isLast = later.length === 0;
  const next = stateOf(from);
  const change = {
    id: from.id,
    version: to.version,
    next: isLast ? next : { ...next, status: 'waiting' as const, runAt: ON_ITS_WAY, alarmAt: null },
  };
  if (event === undefined) return change;
  const { taskId: _, seq, ...rest } = event;
  const pages = await logBefore(source, from.id, log, seq);
  return { ...change, event: rest, ...(pages && { log: pages }) };
}
