import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type ClaimFilter, laneKey, laneMatches } from '../../claim-filter.ts';
import { type Quota, toQuota } from '../../quota.ts';
import type { Claim } from '../../task-store.ts';
import type { QueueTransaction } from './queue-transaction.ts';
import type { Place, QuotaLane } from './quota-lane.ts';
import { goesBefore, type Standing } from './quota-lanes.ts';
import { columns, SELECT_TASKS, selectRow, type TaskRow } from './task-row.ts';
import { OWN } from './transaction-turns.ts';

/** A place in a list of ready tasks that the task itself does not confirm, which only damage can bring about, is passed over. */
export const IS_READY = '(s.stage IS NULL OR s.stage = 1)';
export const SELECT_READY_TASK = `${SELECT_TASKS} WHERE t.seq = ? AND ${IS_READY}`;
export const SELECT_READY = `SELECT ${columns('ready.rank')} FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  LEFT JOIN states s ON s.seq = t.seq WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;

/** The next task that has a quota, and where it stands among others. */
interface Candidate {
  readonly lane: QuotaLane;
  readonly standing: Standing;
}

/** One claim's choice among the ready tasks that have a quota: each has entered its gates when it is taken. */
export class QuotaChoice {
  readonly #tx: QueueTransaction;
  readonly #filter: ClaimFilter | null;
  readonly #now: number;

  constructor(tx: QueueTransaction, { filter, now }: Claim) {
    this.#tx = tx;
    this.#filter = filter;
    this.#now = now;
    tx.gates.refresh(now);
  }

  /** Undefined where there is none, or gates keep all of them back. */
  first(): Candidate | undefined {
    const { gates, quotaLanes } = this.#tx;
    let first: Candidate | undefined;
    for (const source of quotaLanes.sources()) {
      if (!gates.isOpen(source.limits, this.#now)) continue;
      const next = source.first((lane) => this.#mayTake(lane));
      if (next && (!first || goesBefore(next.standing, first.standing))) first = next;
    }
    return first;
  }

  /** Takes the first task of the lane; undefined where the task does not confirm its place. */
  take(lane: QuotaLane): TaskRow | undefined {
    const { connection, gates, quotaLanes } = this.#tx;
    const { rank, seq } = lane.head!;
    const row = selectRow(connection, SELECT_READY_TASK, seq);
    lane.shift();
    if (row?.due !== rank || row.record.quota === undefined || laneKey(row.record) !== lane.key)
      return undefined;
    gates.enter(row.record.quota, this.#now);
    if (quotaLanes.hasTurns) quotaLanes.turns.serve(lane.fairKey, lane.weight);
    return row;
  }

  #mayTake(lane: QuotaLane): boolean {
    if (lane.passedBy === this) return false;
    const mayTake = this.#matches(lane) && this.#admits(lane);
    // What a gate keeps back now it keeps back for the whole claim.
    if (!mayTake) lane.passedBy = this;
    return mayTake;
  }

  #matches({ lane }: QuotaLane): boolean {
    return (this.#filter === null || laneMatches(lane, this.#filter)) && !this.#tx.gates.isPaused(lane);
  }

  #admits(lane: QuotaLane): boolean {
    const { limits } = quotaAt(lane, lane.head!);
    return limits.length === 0 || this.#tx.gates.admits(limits, this.#now);
  }
}

const NO_LIMITS: Quota = { limits: [], fairKey: null, fairWeight: 1 };

function quotaAt({ lane, limits }: QuotaLane, { weights }: Place): Quota {
  if (weights === null) return lane.quota ?? NO_LIMITS;
  return toQuota(limits.join(','), '', weights);
}

/** A ready task without a quota, as a claim finds it. */
export interface PlainHead {
  readonly due: number;
  readonly seq: number;
  readonly lane: string | null;
}

/** What a claim takes of both kinds, in their order. */
export interface Chosen {
  readonly row: TaskRow;
  readonly plain: PlainHead | null;
}

/** Takes tasks with a quota and plain ones as they come, until there are `limit`. `confirm` gives a plain one's task. */
export function chooseAmong(
  tx: QueueTransaction,
  choice: QuotaChoice,
  plain: readonly PlainHead[],
  limit: number,
  confirm: (head: PlainHead) => TaskRow | undefined,
): Chosen[] {
  const { quotaLanes } = tx;
  const chosen: Chosen[] = [];
  let next = 0;
  while (chosen.length < limit) {
    const limited = choice.first();
    const head = plain[next];
    if (!limited && !head) break;
    if (limited && (!head || goesBefore(limited.standing, standingOf(tx, head)))) {
      const row = choice.take(limited.lane);
      if (row) chosen.push({ row, plain: null });
    } else if (head) {
      next++;
      const row = confirm(head);
      if (!row) continue;
      chosen.push({ row, plain: head });
      if (quotaLanes.hasTurns) quotaLanes.turns.serve(OWN, 1);
    }
  }
  return chosen;
}

function standingOf({ quotaLanes }: QueueTransaction, { due, seq }: PlainHead): Standing {
  return { turn: quotaLanes.hasTurns ? quotaLanes.turns.startOf(OWN) : 0, place: { rank: due, seq } };
}

/** Whether the place is the task's own. */
export function rowOfPlace(connection: SqliteConnection, { due, seq }: PlainHead): TaskRow | undefined {
  const row = selectRow(connection, SELECT_READY_TASK, seq);
  return row?.due === due ? row : undefined;
}
