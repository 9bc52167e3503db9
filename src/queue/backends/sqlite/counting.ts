import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { kindsOf, laneFromKey } from '../../claim-filter.ts';
import { type EndStatus, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import { type StoreCounts, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';

/** Delayed tasks that are due but not yet claimed are counted up to here; a claim makes them ready. */
const DUE_COUNTED_MAX = 10_000;
const MINUTE_MS = 60_000;

export const COUNT_DUE = 'SELECT count(*) FROM (SELECT 1 FROM states WHERE stage = 2 AND due <= ? LIMIT +?)';
/** Looked at in order of rank for the one that waits longest: exact for queues up to this length. */
const READY_SEEN_MAX = 1_000;
export const SELECT_READY_FIRST = `SELECT t.lane, t.created_at FROM ready CROSS JOIN tasks t ON t.seq = ready.seq
  ORDER BY ready.rank, ready.seq LIMIT +?`;
export const SELECT_QUOTA_FIRST = `SELECT l.lane, t.created_at FROM lane_heads l CROSS JOIN tasks t ON t.seq = l.seq
  LIMIT +?`;
export const SELECT_DUE_FIRST = `SELECT t.lane, t.created_at FROM states s CROSS JOIN tasks t ON t.seq = s.seq
  WHERE s.stage = 2 AND s.due <= ? ORDER BY s.due LIMIT +?`;

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
    ...firstReady(connection, now),
    endedPerMinute: endedPerMinute(connection, now),
    paused: Boolean(totals.paused),
  };
}

/** Damaged counters read as 0. */
function count(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : 0;
}

function firstReady(
  connection: SqliteConnection,
  now: number,
): Pick<StoreCounts, 'oldestReadyAt' | 'readyKinds'> {
  const ready = connection.prepare(SELECT_READY_FIRST).raw().all(READY_SEEN_MAX);
  const limited = connection.prepareRows(SELECT_QUOTA_FIRST).all(READY_SEEN_MAX);
  const due = connection.prepare(SELECT_DUE_FIRST).raw().all(now, READY_SEEN_MAX);
  const lanes = new Set<string>();
  let oldest = Number.POSITIVE_INFINITY;
  for (const [lane, createdAt] of [...ready, ...limited, ...due] as unknown[][]) {
    // What somebody else wrote there counts for nothing.
    if (typeof lane === 'string') lanes.add(lane);
    if (typeof createdAt === 'number') oldest = Math.min(oldest, createdAt);
  }
  return {
    oldestReadyAt: oldest === Number.POSITIVE_INFINITY ? null : oldest,
    readyKinds: kindsOf([...lanes].map((key) => laneFromKey(key))),
  };
}

function endedPerMinute(connection: SqliteConnection, now: number): StoreCounts['endedPerMinute'] {
  const since = Math.floor(now / MINUTE_MS) - THROUGHPUT_MINUTES_MAX;
  return connection
    .prepare('SELECT minute, status, count FROM endings WHERE minute > ? ORDER BY minute, status')
    .all(since) as { minute: number; status: EndStatus; count: number }[];
}
