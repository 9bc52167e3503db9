import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { laneFromKey } from '../../claim-filter.ts';
import { isEnded, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import type { TaskRecord } from '../../task-store.ts';
import { type Place, STAGE, type Stage } from './stage.ts';

/** A record together with where it lies and how many of its edges are undecided. */
export interface TaskRow extends Place {
  readonly record: TaskRecord;
  readonly blocked: number;
  /** Nothing has happened to the task since it was inserted as ready: it has no row in `states`. */
  readonly isFresh: boolean;
}

/** In the order `decode` reads them; `due` is where the row was found. */
export function columns(due: string): string {
  return `t.seq, s.stage, ${due}, t.lane, t.rank, t.created_at, coalesce(s.run_at, t.run_at), s.status, s.version,
    s.events, s.blocked, s.retry_count, s.crashes, s.fence, s.owner, s.lease_expires_at, s.started_at,
    s.completed_at, s.result, s.details, t.id, t.hash, t.submission, s.alarm_at, t.weights`;
}

/** Tasks with their states, fresh ones too. */
export const SELECT_TASKS = `SELECT ${columns('coalesce(s.due, t.rank)')} FROM tasks t LEFT JOIN states s ON s.seq = t.seq`;
export const SELECT_BY_SEQ = `${SELECT_TASKS} WHERE t.seq = ?`;
export const SELECT_BY_ID = `${SELECT_TASKS} WHERE t.id = ?`;
/** A place among the ready tasks that the task itself does not confirm, which only damage can bring about, is passed over. */
export const IS_READY = '(s.stage IS NULL OR s.stage = 1)';
export const SELECT_READY_TASK = `${SELECT_TASKS} WHERE t.seq = ? AND ${IS_READY}`;
/** By stage. CROSS JOIN keeps the order of the loops: the agenda first, its tasks by key. */
export const SELECT_STATES = `SELECT ${columns('s.due')} FROM states s CROSS JOIN tasks t ON t.seq = s.seq`;

const KNOWN = new Set<unknown>(TASK_STATUSES);
const PRIORITY_OF_DAMAGED = 5;

/** Runs a query for rows. Edges are loaded only for rows that have some. */
export function selectRows(
  connection: SqliteConnection,
  sql: string,
  ...values: (string | number)[]
): TaskRow[] {
  const raw = connection
    .prepare(sql)
    .raw()
    .all(...values) as unknown[][];
  return raw.map((columns) => decode(connection, columns));
}

export function selectRow(
  connection: SqliteConnection,
  sql: string,
  ...values: (string | number)[]
): TaskRow | undefined {
  const raw = connection
    .prepare(sql)
    .raw()
    .get(...values) as unknown[] | undefined;
  return raw && decode(connection, raw);
}

/**
 * A row as it is, whatever it says: a damaged one must not stop the others. Policy finds damage in what was
 * submitted by its hash. A status nobody knows reads as `failed`, so that the task is not taken for alive;
 * numbers that are none read as 0.
 */
function decode(connection: SqliteConnection, c: readonly unknown[]): TaskRow {
  const isFresh = c[1] === null;
  const blocked = number(c[10]);
  const seq = number(c[0]);
  const { priority, agentType, agent, quota } = laneFromKey(text(c[3]), text(c[24]));
  const record = {
    seq,
    id: text(c[20]),
    submission: text(c[22]),
    hash: text(c[21]),
    priority: Number.isInteger(priority) ? priority : PRIORITY_OF_DAMAGED,
    agentType,
    agent,
    rank: number(c[4]),
    createdAt: number(c[5]),
    status: isFresh ? ('pending' as const) : KNOWN.has(c[7]) ? (c[7] as TaskStatus) : ('failed' as const),
    runAt: number(c[6]),
    retryCount: number(c[11]),
    crashes: number(c[12]),
    fence: number(c[13]),
    owner: textOrNull(c[14]),
    leaseExpiresAt: numberOrNull(c[15]),
    alarmAt: numberOrNull(c[23]),
    startedAt: numberOrNull(c[16]),
    completedAt: numberOrNull(c[17]),
    result: textOrNull(c[18]),
    details: textOrNull(c[19]),
    version: isFresh ? 1 : number(c[8]),
    events: isFresh ? 1 : number(c[9]),
    blockedBy: blocked > 0 ? blockersOf(connection, seq) : [],
  };
  const stage = isFresh ? STAGE.ready : (c[1] as Stage);
  const shown: TaskRecord = quota === undefined ? record : { ...record, quota };
  return { record: shown, stage, due: number(c[2]), blocked, isFresh };
}

function blockersOf(connection: SqliteConnection, seq: number): string[] {
  return connection
    .prepareValue('SELECT dependency_id FROM edges WHERE task = ? ORDER BY position')
    .all(seq) as string[];
}

/** Whether the row counts as blocked: ended tasks never do. */
export function isBlocked(row: TaskRow): boolean {
  return row.blocked > 0 && !isEnded(row.record.status);
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : String(value ?? '');
}

function textOrNull(value: unknown): string | null {
  return value === null ? null : text(value);
}
