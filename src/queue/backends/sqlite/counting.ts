import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type EndStatus, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import { type StoreCounts, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';

/** Delayed tasks that are due but not yet claimed are counted up to here; a claim makes them ready. */
const DUE_COUNTED_MAX = 10_000;
const MINUTE_MS = 60_000;

export const COUNT_DUE = 'SELECT count(*) FROM (SELECT 1 FROM states WHERE stage = 2 AND due <= ? LIMIT +?)';
/** Looked at in order of rank for the one that waits longest: exact for queues up to this length. */
const READY_SEEN_MAX = 1_000;
export const SELECT_READY_OLDEST = `SELECT min(created_at) FROM (
  SELECT t.created_at FROM ready CROSS JOIN tasks t ON t.seq = ready.seq ORDER BY ready.rank, ready.seq LIMIT +?)`;
export const SELECT_DUE_OLDEST = `SELECT min(created_at) FROM (
  SELECT t.created_at FROM states s CROSS JOIN tasks t ON t.seq = s.seq
  WHERE s.stage = 2 AND s.due <= ? ORDER BY s.due LIMIT +?)`;

export function readCounts(connection: SqliteConnection, now: number): StoreCounts {
  const totals = (connection.prepare('SELECT * FROM totals').get() ?? {}) as Record<string, unknown>;
  const due = Number(connection.prepareValue(COUNT_DUE).get(now, DUE_COUNTED_MAX));
  return {
    byStatus: Object.fromEntries(TASK_STATUSES.map((status) => [status, count(totals[status])])) as Record<
      TaskStatus,
      number
    >,
    delayed: Math.max(0, count(totals.delayed) - due),
    blocked: count(totals.blocked),
    oldestReadyAt: oldestReadyAt(connection, now),
    endedPerMinute: endedPerMinute(connection, now),
    paused: Boolean(totals.paused),
  };
}

/** Damaged counters read as 0. */
function count(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : 0;
}

function oldestReadyAt(connection: SqliteConnection, now: number): number | null {
  const ready = connection.prepareValue(SELECT_READY_OLDEST).get(READY_SEEN_MAX);
  const due = connection.prepareValue(SELECT_DUE_OLDEST).get(now, DUE_COUNTED_MAX);
  const times = [ready, due].filter((time): time is number => typeof time === 'number');
  return times.length === 0 ? null : Math.min(...times);
}

function endedPerMinute(connection: SqliteConnection, now: number): StoreCounts['endedPerMinute'] {
  const since = Math.floor(now / MINUTE_MS) - THROUGHPUT_MINUTES_MAX;
  return connection
    .prepare('SELECT minute, status, count FROM endings WHERE minute > ? ORDER BY minute, status')
    .all(since) as { minute: number; status: EndStatus; count: number }[];
}
