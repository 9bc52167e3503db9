import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type ClaimFilter, type Lane, laneFromKey, laneKey, laneMatches } from '../../claim-filter.ts';
import type { Claim } from '../../task-store.ts';
import type { Lease, QueueTransaction } from './queue-transaction.ts';
import { STAGE } from './stage.ts';
import { columns, SELECT_BY_ID, SELECT_TASKS, selectRow, selectRows, type TaskRow } from './task-row.ts';

/** So many tasks that fell due become ready in one claim, about 10 ms; the rest follow in the next ones. */
const PROMOTIONS_MAX = 2_000;

/** A place in `ready` that the task itself does not confirm, which only damage can bring about, is passed over. */
const IS_READY = '(s.stage IS NULL OR s.stage = 1)';
export const SELECT_READY = `SELECT ${columns('ready.rank')} FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  LEFT JOIN states s ON s.seq = t.seq WHERE ${IS_READY} ORDER BY ready.rank, ready.seq LIMIT +?`;
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
const SELECT_READY_TASK = `${SELECT_TASKS} WHERE t.seq = ? AND ${IS_READY}`;
export const SELECT_DUE = `SELECT s.due, s.seq, t.rank, t.lane FROM states s CROSS JOIN tasks t ON t.seq = s.seq
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
}

function promoteDue(tx: QueueTransaction, now: number): void {
  const heads = tx.connection.prepare(SELECT_DUE).all(now, PROMOTIONS_MAX) as DueHead[];
  for (const { rank, lane, due, seq } of heads) {
    tx.connection.prepare(PROMOTE).run(rank, due, seq);
    tx.becomeReady(lane, rank, seq);
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

/** Chooses rows and takes them out of `ready`. */
function takeRows(tx: QueueTransaction, { filter, limit }: Claim): TaskRow[] | null {
  const { connection } = tx;
  if (filter === null || (filter.ids === null && doAllAheadMatch(connection, filter, limit))) {
    const first = selectRows(connection, SELECT_READY, limit);
    tx.firstLeaveReady(first);
    return first;
  }
  const chosen =
    filter.ids === null ? chooseByLane(tx, filter, limit) : chooseByIds(connection, filter, limit);
  for (const row of chosen ?? []) tx.leaveReady(row);
  return chosen;
}

function chooseByLane(tx: QueueTransaction, filter: ClaimFilter, limit: number): TaskRow[] | null {
  const { connection } = tx;
  if (!tx.catchUpLanes()) return null;
  const lanes = matchingLanes(connection, filter);
  for (;;) {
    const heads = mergeLanes(connection, lanes, limit);
    const rows = heads.flatMap((head) => rowAt(connection, head) ?? []);
    if (rows.length === heads.length) return rows;
  }
}

/** A place the task does not confirm is cleared away: it would be the first of its lane for ever. */
function rowAt(connection: SqliteConnection, { lane, due, seq }: Head): TaskRow | undefined {
  const row = selectRow(connection, SELECT_READY_TASK, seq);
  if (row?.due === due && laneKey(row.record) === lane) return row;
  connection.prepare(FORGET_LANE_HEAD).run(lane, due, seq);
  return undefined;
}

/** Most filters let everything pass that is there; then the lanes need not be looked for. */
function doAllAheadMatch(connection: SqliteConnection, filter: ClaimFilter, limit: number): boolean {
  const ahead = connection.prepareValue(SELECT_READY_LANES_AHEAD).all(limit);
  return ahead.every((key) => laneMatches(laneOf(key), filter));
}

function matchingLanes(connection: SqliteConnection, filter: ClaimFilter): string[] {
  const keys = connection.prepareValue(SELECT_LANES).all();
  return keys.filter((key): key is string => typeof key === 'string' && laneMatches(laneOf(key), filter));
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

function chooseByIds(connection: SqliteConnection, filter: ClaimFilter, limit: number): TaskRow[] {
  return [...new Set(filter.ids)]
    .flatMap((id) => selectRow(connection, SELECT_BY_ID, id) ?? [])
    .filter((row) => row.stage === STAGE.ready && laneMatches(row.record, filter))
    .sort((a, b) => a.due - b.due || a.record.seq - b.record.seq)
    .slice(0, limit);
}
