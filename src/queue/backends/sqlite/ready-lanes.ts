import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type Lane, laneFromKey, laneKey } from '../../claim-filter.ts';
import { kindPart } from './quota-lane.ts';
import { SELECT_READY_TASK, selectRow, type TaskRow } from './task-row.ts';

/** One seek per lane, however many tasks each holds. */
export const SELECT_LANES = `WITH RECURSIVE lanes (lane) AS (
    SELECT (SELECT lane FROM ready_lanes ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT r.lane FROM ready_lanes r WHERE r.lane > lanes.lane ORDER BY r.lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
  ) SELECT lane FROM lanes WHERE lane IS NOT NULL`;
export const SELECT_LANE_HEADS = `SELECT lane, due, seq FROM ready_lanes WHERE lane = ? AND (due, seq) > (?, ?)
  ORDER BY due, seq LIMIT +?`;
const FORGET_LANE_HEAD = 'DELETE FROM ready_lanes WHERE lane = ? AND due = ? AND seq = ?';

/** A place in a list of ready tasks. */
export interface Head {
  readonly lane: string;
  readonly due: number;
  readonly seq: number;
}

/** Whether a claim may take from a lane. */
export type Passes = (lane: Lane) => boolean;

export function matchingLanes(connection: SqliteConnection, passes: Passes): string[] {
  const keys = connection.prepareValue(SELECT_LANES).all();
  return keys.filter((key): key is string => typeof key === 'string' && passes(laneFromKey(key)));
}

/** One lane's tasks in order, fetched in small portions. */
interface LaneCursor {
  readonly lane: string;
  heads: Head[];
  next: number;
}

/** The first tasks of several lanes together. Reads about twice the limit, whatever the depth. */
export function mergeLanes(connection: SqliteConnection, lanes: readonly string[], limit: number): Head[] {
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

/** A place the task does not confirm is cleared away: it would be the first of its lane for ever. */
export function rowAt(connection: SqliteConnection, { lane, due, seq }: Head): TaskRow | undefined {
  const row = selectRow(connection, SELECT_READY_TASK, seq);
  if (row?.due === due && kindPart(laneKey(row.record)) === lane) return row;
  connection.prepare(FORGET_LANE_HEAD).run(lane, due, seq);
  return undefined;
}
