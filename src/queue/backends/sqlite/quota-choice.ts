import { type ClaimFilter, laneKey, laneMatches } from '../../claim-filter.ts';
import { type LimitUse, toQuota } from '../../quota.ts';
import { goesBefore, type LaneCursor, type Standing, type StoredHead } from './lane-cursor.ts';
import type { QueueTransaction } from './queue-transaction.ts';
import type { Place, QuotaLane } from './quota-lane.ts';
import { laneOf, SELECT_READY_TASK, selectRow, type TaskRow } from './task-row.ts';
import { OWN } from './transaction-turns.ts';

/** So many lanes kept back are looked at in each claim, 1 µs each: less than it costs to put them aside and back. */
const KEPT_BACK_SEEN_MAX = 64;
/** So many are put aside by one transaction, about 5 ms; the next ones go on. */
const PUT_ASIDE_MAX = 500;

/** A lane that a claim may take from, and where its first task stands among others. */
export interface Candidate extends Standing {
  readonly place: Place;
  readonly lane: QuotaLane;
}

/**
 * What claims with one filter choose of the ready tasks that have a quota, as long as one transaction goes on.
 * Lanes wait in a line by where they stood when they were last looked at: since then they stand there or later,
 * so only the first one is looked at again. What a gate keeps back waits for the gate.
 */
export class QuotaChoice {
  readonly #tx: QueueTransaction;
  readonly #filter: ClaimFilter | null;
  readonly #cursors: readonly LaneCursor[];
  /** The first is last. */
  readonly #line: Candidate[] = [];
  /** What counts in the line. */
  readonly #inLine = new Map<QuotaLane, Candidate>();
  readonly #keptBack = new Map<string, Set<QuotaLane>>();
  #untilLater: { readonly lane: QuotaLane; readonly until: number }[] = [];
  readonly #changed: Set<QuotaLane>;

  constructor(tx: QueueTransaction, filter: ClaimFilter | null) {
    this.#tx = tx;
    this.#filter = filter;
    this.#cursors = tx.quotaLanes.cursors((heads) => this.#readGatesOf(heads));
    this.#changed = new Set(tx.quotaLanes.met);
  }

  /** The lane may have another first task. */
  laneChanged(lane: QuotaLane): void {
    this.#changed.add(lane);
  }

  /** A gate may let more pass than before. */
  gateOpened(key: string): void {
    const lanes = this.#keptBack.get(key);
    if (!lanes) return;
    for (const lane of lanes) this.#changed.add(lane);
    this.#keptBack.delete(key);
  }

  /** Called as the last step: lanes behind full keys are put where no claim looks, if it was many. */
  finish(): void {
    const { gates } = this.#tx;
    const kept = [...this.#keptBack].flatMap(([key, lanes]) => [...lanes].map((lane) => ({ key, lane })));
    if (kept.length <= KEPT_BACK_SEEN_MAX) return;
    for (const { key, lane } of kept.slice(0, PUT_ASIDE_MAX)) if (gates.isFull(key)) lane.keepBack(key);
  }

  /** Undefined where there is none, or gates keep all of them back. */
  first(now: number): Candidate | undefined {
    this.#lookAgain(now);
    for (;;) {
      const first = this.#firstInLine(now);
      if (!this.#readBefore(first, now)) return first;
    }
  }

  /** Takes the first task of the lane, which enters its gates; undefined where the task does not confirm its place. */
  take(lane: QuotaLane, now: number): TaskRow | undefined {
    const { connection, gates, quotaLanes } = this.#tx;
    const { rank, seq } = lane.head!;
    const row = selectRow(connection, SELECT_READY_TASK, seq);
    lane.shift();
    const quota = row?.record.quota;
    if (row?.due !== rank || quota === undefined || laneKey(row.record) !== lane.key) return undefined;
    gates.enter(quota, now);
    quotaLanes.turns?.serve(lane.fairKey, lane.weight);
    return row;
  }

  /** A lane's limits are its fourth part. */
  #readGatesOf(heads: readonly StoredHead[]): void {
    const keys = heads.flatMap(({ lane }) => laneOf(lane).quota?.limits ?? []).map(({ key }) => key);
    this.#tx.gates.readAhead(keys);
  }

  #lookAgain(now: number): void {
    const due = this.#untilLater.filter(({ until }) => until <= now);
    if (due.length > 0) {
      this.#untilLater = this.#untilLater.filter(({ until }) => until > now);
      for (const { lane } of due) this.#changed.add(lane);
    }
    if (this.#changed.size === 0) return;
    for (const lane of this.#changed) this.#consider(lane, now);
    this.#changed.clear();
  }

  #firstInLine(now: number): Candidate | undefined {
    for (let first = this.#line.at(-1); first; first = this.#line.at(-1)) {
      const { lane, place, turn } = first;
      const isCurrent = this.#inLine.get(lane) === first;
      if (isCurrent && lane.head === place && this.#turnOf(lane) === turn && this.#admits(lane, place, now))
        return first;
      this.#line.pop();
      if (isCurrent) this.#consider(lane, now);
    }
    return undefined;
  }

  /** Reads lanes that may stand before the first one; false where there are none. */
  #readBefore(first: Candidate | undefined, now: number): boolean {
    const { gates, quotaLanes } = this.#tx;
    let hasRead = false;
    for (const cursor of this.#cursors) {
      if (!gates.isOpen(cursor.limits, now)) continue;
      const head = cursor.takeBefore(first, quotaLanes.turns);
      if (!head) continue;
      hasRead = true;
      const lane = quotaLanes.laneAt(head);
      if (!this.#inLine.has(lane)) this.#consider(lane, now);
    }
    return hasRead;
  }

  /** Lines the lane up, has it wait for a gate, or leaves it. */
  #consider(lane: QuotaLane, now: number): void {
    this.#inLine.delete(lane);
    const place = lane.head;
    if (place === undefined || !this.#matches(lane) || !this.#admits(lane, place, now)) return;
    const candidate = { lane, place, turn: this.#turnOf(lane) };
    this.#inLine.set(lane, candidate);
    this.#line.splice(this.#positionOf(candidate), 0, candidate);
  }

  /** Whether its gates let the task pass; where not, the lane is looked at again when they may. */
  #admits(lane: QuotaLane, place: Place, now: number): boolean {
    const obstacle = this.#tx.gates.obstacleOf(usesAt(lane, place), now);
    if (obstacle === null) return true;
    const { key, until } = obstacle;
    const lanes = this.#keptBack.get(key);
    if (lanes) lanes.add(lane);
    else this.#keptBack.set(key, new Set([lane]));
    if (until !== null) this.#untilLater.push({ lane, until });
    return false;
  }

  #matches({ lane }: QuotaLane): boolean {
    return (this.#filter === null || laneMatches(lane, this.#filter)) && !this.#tx.gates.isPaused(lane);
  }

  #turnOf({ fairKey }: QuotaLane): number {
    return this.#tx.quotaLanes.turns?.startOf(fairKey) ?? 0;
  }

  /** Behind all that go after it. */
  #positionOf(candidate: Candidate): number {
    let low = 0;
    let high = this.#line.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (goesBefore(candidate, this.#line[middle]!)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function usesAt({ uses, limits }: QuotaLane, { weights }: Place): readonly LimitUse[] {
  return weights === null ? uses : toQuota(limits, '', weights).limits;
}

/** A ready task without a quota, as a claim finds it. */
export interface PlainHead {
  readonly due: number;
  readonly seq: number;
  readonly lane: string | null;
}

/** What one look at the first of both kinds gave. */
export interface Round {
  readonly rows: TaskRow[];
  /** Tasks that were sent to their lanes, or did not confirm their place: with them gone others come first. */
  readonly parked: number;
  /** Nothing is left to take. */
  readonly isAtEnd: boolean;
}

/**
 * Takes tasks of lanes and plain ones as they come, until there are `limit`. `plain` has the first `limit` of them,
 * `confirm` gives one's task. `left`: those that leave the ready tasks, taken or parked.
 */
export function chooseAmong(
  tx: QueueTransaction,
  choice: QuotaChoice | undefined,
  plain: readonly PlainHead[],
  { limit, now }: { readonly limit: number; readonly now: number },
  confirm: (head: PlainHead) => TaskRow | undefined,
): Round & { readonly left: TaskRow[] } {
  const { quotaLanes } = tx;
  const turns = choice && quotaLanes.turns;
  const rows: TaskRow[] = [];
  const left: TaskRow[] = [];
  let next = 0;
  let parked = 0;
  // More of the plain ones may stand before the next lane.
  while (rows.length < limit && next < limit) {
    const limited = choice?.first(now);
    const head = plain[next];
    if (limited && (!head || goesBefore(limited, standingOf(head, turns?.startOf(OWN))))) {
      const row = choice?.take(limited.lane, now);
      if (row) rows.push(row);
      continue;
    }
    if (!head) return { rows, left, parked, isAtEnd: choice !== undefined || parked === 0 };
    next++;
    const row = confirm(head);
    if (row) left.push(row);
    if (row && tx.passOrPark(row, now)) {
      rows.push(row);
      turns?.serve(OWN, 1);
    } else parked++;
  }
  return { rows, left, parked, isAtEnd: false };
}

function standingOf({ due, seq }: PlainHead, turn = 0): Standing {
  return { turn, place: { rank: due, seq } };
}
