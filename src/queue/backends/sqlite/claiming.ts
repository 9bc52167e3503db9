import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type ClaimFilter, laneMatches } from '../../claim-filter.ts';
import type { Claim } from '../../task-store.ts';
import type { Lease, QueueTransaction } from './queue-transaction.ts';
import { chooseAmong, type PlainHead, QuotaChoice, type Round } from './quota-choice.ts';
import { type Head, matchingLanes, mergeLanes, type Passes, rowAt } from './ready-lanes.ts';
import { STAGE } from './stage.ts';
import {
  columns,
  IS_READY,
  laneOf,
  SELECT_BY_ID,
  SELECT_READY_TASK,
  selectRow,
  selectRows,
  type TaskRow,
} from './task-row.ts';
import { OWN } from './transaction-turns.ts';

/** So many tasks that fell due become ready in one claim, about 10 ms; the rest follow in the next ones. */
const PROMOTIONS_MAX = 2_000;
/** So many tasks that cannot start are sent to their lanes in one claim, about 10 ms. */
const PARKED_MAX = 2_000;

export const SELECT_READY = `SELECT ${columns('ready.rank')} FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  LEFT JOIN states s ON s.seq = t.seq WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
/** Only where they stand: what is merged with tasks of other lanes is read when its turn has come. */
export const SELECT_READY_HEADS = `SELECT ready.rank AS due, ready.seq, NULL AS lane FROM ready
  CROSS JOIN tasks t ON t.seq = ready.seq LEFT JOIN states s ON s.seq = t.seq
  WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
export const SELECT_READY_LANES_AHEAD = `SELECT t.lane FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  LEFT JOIN states s ON s.seq = t.seq WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
export const SELECT_DUE = `SELECT s.due, s.seq, t.rank, t.lane, t.weights FROM states s CROSS JOIN tasks t ON t.seq = s.seq
  WHERE s.stage = 2 AND s.due <= ? ORDER BY s.due, s.seq LIMIT +?`;
const PROMOTE = 'UPDATE states SET stage = 1, due = ? WHERE stage = 2 AND due = ? AND seq = ?';

/** A claim looks at so many before it reads those that it may take: most that meet a misfit meet one of these. */
const LOOK_TASKS = 8;

/** What a claim has got. `isAll`: there is no more; otherwise the claim is to be made again for the rest. */
export interface Taken {
  readonly rows: TaskRow[];
  readonly isAll: boolean;
}

/** Takes the first claimable tasks that pass the filter, in order of rank, then sequence. */
export function claimRows(tx: QueueTransaction, claim: Claim): Taken {
  if (tx.isPaused || claim.limit <= 0) return { rows: [], isAll: true };
  tx.enterReady();
  promoteDue(tx, claim.now);
  const { rows, isAll } = takeRows(tx, claim);
  return { rows: leaseAll(tx, rows, claim), isAll };
}

interface DueHead extends Head {
  readonly rank: number;
  readonly weights: string | null;
}

function promoteDue(tx: QueueTransaction, now: number): void {
  const heads = tx.connection.prepare(SELECT_DUE).all(now, PROMOTIONS_MAX) as DueHead[];
  for (const { rank, lane, due, seq, weights } of heads) {
    tx.connection.prepare(PROMOTE).run(rank, due, seq);
    tx.becomeReady(lane, { rank, seq, weights }, now);
  }
  tx.totals.count('delayed', -heads.length);
}

/** In the order of the rows. */
function leaseAll(tx: QueueTransaction, rows: readonly TaskRow[], claim: Claim): TaskRow[] {
  const { to, owner, leaseExpiresAt, now } = claim;
  const startedAt = to === 'in_progress' ? now : null;
  const lease: Lease = { status: to, owner, leaseExpiresAt, startedAt };
  const fresh = tx.leaseFresh(
    rows.filter((row) => row.isFresh),
    lease,
    now,
  );
  if (fresh.length === rows.length) return fresh;
  const freshInOrder = fresh.values();
  return rows.flatMap((row) => {
    if (row.isFresh) return freshInOrder.next().value ?? [];
    const { record } = row;
    const next = { ...record, ...lease, alarmAt: null, fence: record.fence + 1 };
    return tx.update(row, next, { from: record.status, to, at: now, worker: owner }, now) ?? [];
  });
}

/** Chooses rows and takes them out of the lists of ready tasks, a round at a time. */
function takeRows(tx: QueueTransaction, claim: Claim): Taken {
  const { filter, limit } = claim;
  if (filter !== null && filter.ids !== null) {
    const chosen = chooseByIds(tx, filter, claim);
    for (const row of chosen) tx.leaveReady(row);
    return { rows: chosen, isAll: true };
  }
  const passes = passesOf(tx, filter);
  const rows: TaskRow[] = [];
  let parked = 0;
  for (;;) {
    const round = takeSome(tx, passes, { ...claim, limit: limit - rows.length });
    if (round === null) return { rows, isAll: false };
    rows.push(...round.rows);
    if (rows.length === limit || round.isAtEnd) return { rows, isAll: true };
    parked += round.parked;
    if (parked >= PARKED_MAX) return { rows, isAll: false };
  }
}

/** null where the lanes have to be filled first. */
function takeSome(tx: QueueTransaction, passes: Passes | null, claim: Claim): Round | null {
  const { connection } = tx;
  // Without quotas the first rows are taken as far as they match, so that a look at the very first will do.
  const look = tx.quotaLanes.isEmpty ? Math.min(claim.limit, LOOK_TASKS) : claim.limit;
  const isInOrder = passes === null || doAllAheadMatch(connection, passes, look);
  if (!isInOrder && !tx.catchUpLanes()) return null;
  const choice = choiceFor(tx, claim);
  if (isInOrder && !choice?.first(claim.now)) return takeFirst(tx, passes, claim);
  const heads = isInOrder
    ? (connection.prepare(SELECT_READY_HEADS).all(claim.limit) as PlainHead[])
    : mergeLanes(connection, matchingLanes(connection, passes), claim.limit);
  const confirm = (head: PlainHead) =>
    isInOrder ? readyRow(connection, head.seq) : rowAt(connection, head as Head);
  const round = chooseAmong(tx, choice, heads, claim, confirm);
  if (isInOrder) tx.firstLeaveReady(round.left);
  else for (const row of round.left) tx.leaveReady(row);
  return round;
}

/** The first of `ready`, in one statement, up to one that does not match: the claim goes on there in another way. */
function takeFirst(tx: QueueTransaction, passes: Passes | null, { limit, now }: Claim): Round {
  const ahead = selectRows(tx.connection, SELECT_READY, limit);
  const misfit = passes === null ? -1 : ahead.findIndex(({ record }) => !passes(record));
  const first = misfit < 0 ? ahead : ahead.slice(0, misfit);
  tx.readGatesOf(first);
  const rows = first.filter((row) => tx.passOrPark(row, now));
  tx.firstLeaveReady(first);
  // Backlogs that gates keep back take part in the turns all the same.
  const turns = tx.quotaLanes.isEmpty ? null : tx.quotaLanes.turns;
  if (turns) for (const _ of rows) turns.serve(OWN, 1);
  const parked = first.length - rows.length;
  return { rows, parked, isAtEnd: parked === 0 && misfit < 0 && first.length < limit };
}

function passesOf({ gates }: QueueTransaction, filter: ClaimFilter | null): Passes | null {
  if (!gates.hasPausedKinds) return filter && ((lane) => laneMatches(lane, filter));
  return (lane) => !gates.isPaused(lane) && (filter === null || laneMatches(lane, filter));
}

function readyRow(connection: SqliteConnection, seq: number): TaskRow | undefined {
  return selectRow(connection, SELECT_READY_TASK, seq);
}

/** Kept for the claims of the transaction that follow with the same filter; undefined where no task has a quota. */
function choiceFor(tx: QueueTransaction, { filter, now }: Claim): QuotaChoice | undefined {
  if (tx.quotaLanes.isEmpty) return undefined;
  tx.gates.refresh(now);
  const key = filter === null ? '' : JSON.stringify(filter);
  let choice = tx.choices.get(key);
  if (!choice) {
    choice = new QuotaChoice(tx, filter);
    tx.choices.set(key, choice);
  }
  return choice;
}

/** Most filters let everything pass that is there; then the lanes need not be looked for. */
function doAllAheadMatch(connection: SqliteConnection, passes: Passes, limit: number): boolean {
  const ahead = connection.prepareValue(SELECT_READY_LANES_AHEAD).all(limit);
  return ahead.every((key) => passes(laneOf(String(key))));
}

function chooseByIds(tx: QueueTransaction, filter: ClaimFilter, { limit, now }: Claim): TaskRow[] {
  const { connection, gates } = tx;
  const ready = [...new Set(filter.ids)]
    .flatMap((id) => selectRow(connection, SELECT_BY_ID, id) ?? [])
    .filter(({ stage, record }) => stage === STAGE.ready && laneMatches(record, filter))
    .sort((a, b) => a.due - b.due || a.record.seq - b.record.seq);
  const chosen: TaskRow[] = [];
  for (const row of ready) {
    if (chosen.length === limit) break;
    const { quota } = row.record;
    if (gates.isPaused(row.record) || (quota && gates.obstacleOf(quota.limits, now) !== null)) continue;
    if (quota) gates.enter(quota, now);
    chosen.push(row);
  }
  return chosen;
}
