import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type ClaimFilter, type Lane, laneFromKey, laneKey, laneMatches } from '../../claim-filter.ts';
import type { Claim } from '../../task-store.ts';
import type { Lease, QueueTransaction } from './queue-transaction.ts';
import { chooseAmong, type PlainHead, QuotaChoice } from './quota-choice.ts';
import { STAGE } from './stage.ts';
import {
  columns,
  IS_READY,
  SELECT_BY_ID,
  SELECT_READY_TASK,
  selectRow,
  selectRows,
  type TaskRow,
} from './task-row.ts';

/** So many tasks that fell due become ready in one claim, about 10 ms; the rest follow in the next ones. */
const PROMOTIONS_MAX = 2_000;

export const SELECT_READY = `SELECT ${columns('ready.rank')} FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  LEFT JOIN states s ON s.seq = t.seq WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
/** Only where they stand: what is merged with tasks of other lanes is read when its turn has come. */
export const SELECT_READY_HEADS = `SELECT ready.rank AS due, ready.seq, NULL AS lane FROM ready
  CROSS JOIN tasks t ON t.seq = ready.seq LEFT JOIN states s ON s.seq = t.seq
  WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
export const SELECT_READY_LANES_AHEAD = `SELECT t.lane FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  LEFT JOIN states s ON s.seq = t.seq WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
/** One seek per lane, however many tasks each holds. */
export const SELECT_LANES = `WITH RECURSIVE lanes (lane) AS (
    SELECT (SELECT lane FROM ready_lanes ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT r.lane FROM ready_lanes r WHERE r.lane > lanes.lane ORDER BY r.lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
  ) SELECT lane FROM lanes WHERE lane IS NOT NULL`;
export const SELECT_LANE_HEADS = `SELECT lane, due, seq FROM ready_lanes WHERE lane = ? AND (due, seq) > (?, ?)
  ORDER BY due, seq LIMIT +?`;
export const SELECT_DUE = `SELECT s.due, s.seq, t.rank, t.lane, t.weights FROM states s CROSS JOIN tasks t ON t.seq = s.seq
  WHERE s.stage = 2 AND s.due <= ? ORDER BY s.due, s.seq LIMIT +?`;
const PROMOTE = 'UPDATE states SET stage = 1, due = ? WHERE stage = 2 AND due = ? AND seq = ?';

const FORGET_LANE_HEAD = 'DELETE FROM ready_lanes WHERE lane = ? AND due = ? AND seq = ?';

/** A place in a list of ready tasks. */
interface Head {
  readonly lane: string;
  readonly due: number;
  readonly seq: number;
}

/**
 * Takes the first claimable tasks that pass the filter, in order of rank, then sequence; null where the lanes
 * have to be filled first: then this did some of it, and the claim is to be made again.
 */
export function claimRows(tx: QueueTransaction, claim: Claim): TaskRow[] | null {
  if (tx.isPaused || claim.limit <= 0) return [];
  tx.enterReady();
  promoteDue(tx, claim.now);
  const rows = takeRows(tx, claim);
  return rows && leaseAll(tx, rows, claim);
}

interface DueHead extends Head {
  readonly rank: number;
  readonly weights: string | null;
}

function promoteDue(tx: QueueTransaction, now: number): void {
  const heads = tx.connection.prepare(SELECT_DUE).all(now, PROMOTIONS_MAX) as DueHead[];
  for (const { rank, lane, due, seq, weights } of heads) {
    tx.connection.prepare(PROMOTE).run(rank, due, seq);
    tx.becomeReady(lane, { rank, seq, weights });
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

/** Whether a claim may take from a lane; null: from any. */
type Passes = (lane: Lane) => boolean;

/** Chooses rows and takes them out of the lists of ready tasks. */
function takeRows(tx: QueueTransaction, claim: Claim): TaskRow[] | null {
  const { filter, limit } = claim;
  if (filter !== null && filter.ids !== null) {
    const chosen = chooseByIds(tx, filter, claim);
    for (const row of chosen) tx.leaveReady(row);
    return chosen;
  }
  const passes = passesOf(tx, filter);
  const choice = choiceFor(tx, claim);
  if (choice?.first(claim.now)) return takeAmong(tx, choice, passes, claim);
  if (passes === null || doAllAheadMatch(tx.connection, passes, limit)) {
    const first = selectRows(tx.connection, SELECT_READY, limit);
    tx.firstLeaveReady(first);
    return first;
  }
  const chosen = chooseByLane(tx, passes, limit);
  for (const row of chosen ?? []) tx.leaveReady(row);
  return chosen;
}

function passesOf({ gates }: QueueTransaction, filter: ClaimFilter | null): Passes | null {
  if (!gates.hasPausedKinds) return filter && ((lane) => laneMatches(lane, filter));
  return (lane) => !gates.isPaused(lane) && (filter === null || laneMatches(lane, filter));
}

/** Takes from both kinds of ready tasks, with a quota and without. */
function takeAmong(
  tx: QueueTransaction,
  choice: QuotaChoice,
  passes: Passes | null,
  claim: Claim,
): TaskRow[] | null {
  const { connection } = tx;
  const { limit } = claim;
  if (passes === null || doAllAheadMatch(connection, passes, limit)) {
    const heads = connection.prepare(SELECT_READY_HEADS).all(limit) as PlainHead[];
    const chosen = chooseAmong(tx, choice, heads, claim, ({ seq }) => readyRow(connection, seq));
    tx.firstLeaveReady(chosen.filter(({ isPlain }) => isPlain).map(({ row }) => row));
    return chosen.map(({ row }) => row);
  }
  if (!tx.catchUpLanes()) return null;
  const heads = mergeLanes(connection, matchingLanes(connection, passes), limit);
  const chosen = chooseAmong(tx, choice, heads, claim, (head) => rowAt(connection, head as Head));
  for (const { row, isPlain } of chosen) if (isPlain) tx.leaveReady(row);
  return chosen.map(({ row }) => row);
}

function chooseByLane(tx: QueueTransaction, passes: Passes, limit: number): TaskRow[] | null {
  const { connection } = tx;
  if (!tx.catchUpLanes()) return null;
  const lanes = matchingLanes(connection, passes);
  for (;;) {
    const heads = mergeLanes(connection, lanes, limit);
    const rows = heads.flatMap((head) => rowAt(connection, head) ?? []);
    if (rows.length === heads.length) return rows;
  }
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

/** A place the task does not confirm is cleared away: it would be the first of its lane for ever. */
function rowAt(connection: SqliteConnection, { lane, due, seq }: Head): TaskRow | undefined {
  const row = readyRow(connection, seq);
  if (row?.due === due && laneKey(row.record) === lane) return row;
  connection.prepare(FORGET_LANE_HEAD).run(lane, due, seq);
  return undefined;
}

/** Most filters let everything pass that is there; then the lanes need not be looked for. */
function doAllAheadMatch(connection: SqliteConnection, passes: Passes, limit: number): boolean {
  const ahead = connection.prepareValue(SELECT_READY_LANES_AHEAD).all(limit);
  return ahead.every((key) => passes(laneOf(key)));
}

function matchingLanes(connection: SqliteConnection, passes: Passes): string[] {
  const keys = connection.prepareValue(SELECT_LANES).all();
  return keys.filter((key): key is string => typeof key === 'string' && passes(laneOf(key)));
}

function laneOf(key: unknown): Lane {
  return laneFromKey(String(key));
}

/** One lane's tasks in order, fetched in small portions. */
interface LaneCursor {
  readonly lane: string;
  heads: Head[];
  next: number;
}

/** The first tasks of several lanes together. Reads about twice the limit, whatever the depth. */
function mergeLanes(connection: SqliteConnection, lanes: readonly string[], limit: number): Head[] {
  const portion = Math.ceil(limit / Math.max(1, lanes.length)) + 1;
  const fetch = (lane: string, after: Omit<Head, 'lane'>): LaneCursor => ({
    lane,
    heads: connection.prepare(SELECT_LANE_HEADS).all(lane, after.due, after.seq, portion) as Head[],
    next: 0,
  });
  const start = { due: -Number.MAX_SAFE_INTEGER - 1, seq: 0 };
  let cursors = lanes.map((lane) => fetch(lane, start)).filter((cursor) => cursor.heads.length > 0);
  const merged: Head[] = [];
  while (merged.length < limit && cursors.length > 0) {
    const first = cursors.reduce((a, b) => (isBefore(headOf(b), headOf(a)) ? b : a));
    const head = headOf(first);
    merged.push(head);
    first.next++;
    if (first.next < first.heads.length) continue;
    Object.assign(first, fetch(first.lane, head));
    if (first.heads.length === 0) cursors = cursors.filter((cursor) => cursor !== first);
  }
  return merged;
}

function headOf(cursor: LaneCursor): Head {
  return cursor.heads[cursor.next]!;
}

function isBefore(a: Head, b: Head): boolean {
  return a.due < b.due || (a.due === b.due && a.seq < b.seq);
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
