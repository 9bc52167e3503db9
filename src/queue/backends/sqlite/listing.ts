import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SqliteConnection } from '../../../sqlite/connection.ts';
import type { SqliteDatabase } from '../../../sqlite/sqlite-database.ts';
import { isEnded, isLeased, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import type { ListPage, ListQuery, TaskRecord } from '../../task-store.ts';
import { STAGE, type Stage } from './stage.ts';
import { columns, SELECT_TASKS, selectRows, type TaskRow } from './task-row.ts';

/** So many tasks are looked at in one turn of the event loop: 1–10 ms. */
const SCAN_SLICE_ROWS = 2_000;

const AFTER_BAR = "substr(t.lane, instr(t.lane, '|') + 1)";
const AGENT_TYPE = `substr(${AFTER_BAR}, 1, instr(${AFTER_BAR}, '|') - 1)`;
const OF_TYPES = `(? OR ${AGENT_TYPE} IN (SELECT value FROM json_each(?))) AND t.created_at >= ?`;

export const SELECT_PAGE = `${SELECT_TASKS} WHERE t.seq > ? ORDER BY t.seq LIMIT +?`;
/** Where the slice ends. */
export const SELECT_SLICE_END = 'SELECT seq FROM tasks WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?';
export const SELECT_SLICE = `${SELECT_TASKS} WHERE t.seq > ? AND t.seq <= ?
  AND coalesce(s.stage, 1) IN (SELECT value FROM json_each(?))
  AND coalesce(s.status, 'pending') IN (SELECT value FROM json_each(?)) AND ${OF_TYPES} ORDER BY t.seq LIMIT +?`;
/** For statuses no fresh task has. The stages are in the narrow index: other rows are passed over unread. */
export const SELECT_TOUCHED_END =
  'SELECT seq FROM states INDEXED BY states_by_seq WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?';
export const SELECT_TOUCHED = `SELECT ${columns('s.due')} FROM states s INDEXED BY states_by_seq
  CROSS JOIN tasks t ON t.seq = s.seq WHERE s.seq > ? AND s.seq <= ?
  AND s.stage IN (SELECT value FROM json_each(?)) AND s.status IN (SELECT value FROM json_each(?))
  AND ${OF_TYPES} ORDER BY s.seq LIMIT +?`;

/** One page in order of sequence. A rare status among a million tasks is looked for in slices. */
export async function listTasks(database: SqliteDatabase, query: ListQuery): Promise<ListPage> {
  if (query.statuses?.length === 0 || query.agentTypes?.length === 0) return { records: [], next: null };
  const { limit } = query;
  const found: TaskRow[] = [];
  let after = query.after;
  for (;;) {
    const { rows, end } = database.read((connection) =>
      readSlice(connection, query, after, limit + 1 - found.length),
    );
    found.push(...rows);
    if (found.length > limit) return pageOf(found.slice(0, limit), true);
    if (end === null) return pageOf(found, false);
    after = end;
    await nextTurn();
  }
}

function pageOf(rows: readonly TaskRow[], hasMore: boolean): ListPage {
  const records: TaskRecord[] = rows.map((row) => row.record);
  return { records, next: hasMore ? (records.at(-1)?.seq ?? null) : null };
}

/** What matches among the next tasks, and where to go on: null at the end of the list. */
function readSlice(
  connection: SqliteConnection,
  { statuses, agentTypes, createdAfter }: ListQuery,
  after: number,
  limit: number,
): { rows: TaskRow[]; end: number | null } {
  if (statuses === null && agentTypes === null && createdAfter === null) {
    return { rows: selectRows(connection, SELECT_PAGE, after, limit), end: null };
  }
  const mayBeFresh = statuses?.includes('pending') ?? true;
  const selectEnd = mayBeFresh ? SELECT_SLICE_END : SELECT_TOUCHED_END;
  const end = connection.prepareValue(selectEnd).get(after, SCAN_SLICE_ROWS - 1);
  const rows = selectRows(
    connection,
    mayBeFresh ? SELECT_SLICE : SELECT_TOUCHED,
    after,
    typeof end === 'number' ? end : Number.MAX_SAFE_INTEGER,
    JSON.stringify(statuses === null ? Object.values(STAGE) : [...new Set(statuses.flatMap(stagesOf))]),
    JSON.stringify(statuses ?? TASK_STATUSES),
    agentTypes === null ? 1 : 0,
    JSON.stringify(agentTypes ?? []),
    createdAfter ?? 0,
    limit,
  );
  return { rows, end: typeof end === 'number' ? end : null };
}

function stagesOf(status: TaskStatus): Stage[] {
  if (isEnded(status)) return [STAGE.ended];
  if (isLeased(status)) return [STAGE.leased];
  return status === 'waiting' ? [STAGE.waiting] : [STAGE.ready, STAGE.delayed, STAGE.blocked];
}
