import type { SqliteConnection } from '../../../sqlite/connection.ts';
import {
  LOG_BYTES_MAX,
  LOG_ENTRIES_MAX,
  type LogPage,
  type LogStart,
  NO_LOG,
  parseStarts,
  startsText,
  type TaskLog,
} from '../../task-log.ts';
import { HISTORY_EVENTS_MAX, type Logging } from '../../task-store.ts';
import { STAGE } from './stage.ts';
import { SELECT_BY_ID, selectRow } from './task-row.ts';

const SELECT_LOG = 'SELECT total, bytes, starts FROM logs WHERE task = ?';
/** From the page on that holds the entry, or where it would be. */
const SELECT_PAGES = `SELECT first, count, text FROM log_pages
  WHERE task = ? AND first + count > ? AND first >= coalesce(
    (SELECT max(first) FROM log_pages WHERE task = ? AND first <= ?), 0)
  ORDER BY first LIMIT +?`;
const SELECT_SIZES = 'SELECT first, count, bytes FROM log_pages WHERE task = ? ORDER BY first';
const PUT_LOG = `INSERT INTO logs (task, total, bytes, starts) VALUES (?, ?, ?, ?) ON CONFLICT (task)
  DO UPDATE SET total = excluded.total, bytes = excluded.bytes, starts = excluded.starts`;
const INSERT_PAGE = 'INSERT INTO log_pages (task, first, count, bytes, text) VALUES (?, ?, ?, ?, ?)';

interface Head {
  readonly total: number;
  readonly bytes: number;
  readonly starts: readonly LogStart[];
}

/** False where the task is not leased with this fence. */
export function addToLog(connection: SqliteConnection, { id, fence, pages }: Logging): boolean {
  const row = selectRow(connection, SELECT_BY_ID, id);
  if (row?.stage !== STAGE.leased || row.record.fence !== fence) return false;
  appendLog(connection, row.record.seq, row.record.events, pages);
  return true;
}

/** `seq` is that of the transition that the pages come after. */
export function appendLog(
  connection: SqliteConnection,
  task: number,
  seq: number,
  pages: readonly LogPage[],
): void {
  const head = readHead(connection, task) ?? { total: 0, bytes: 0, starts: [] };
  const isNew = head.starts.at(-1)?.seq !== seq;
  const starts = isNew ? [...head.starts, { seq, first: head.total + 1 }] : head.starts;
  let { total, bytes } = head;
  for (const { count, text } of pages) {
    const size = Buffer.byteLength(text);
    connection.prepare(INSERT_PAGE).run(task, total + 1, count, size, text);
    total += count;
    bytes += size;
  }
  if (total > LOG_ENTRIES_MAX || bytes > LOG_BYTES_MAX) bytes -= dropOldest(connection, task, total, bytes);
  connection.prepare(PUT_LOG).run(task, total, bytes, startsText(starts.slice(-HISTORY_EVENTS_MAX)));
}

/** How many bytes were dropped. */
function dropOldest(connection: SqliteConnection, task: number, total: number, bytes: number): number {
  let dropped = 0;
  let before = 0;
  for (const [first, count, size] of connection.prepareRows(SELECT_SIZES).all(task) as [
    number,
    number,
    number,
  ][]) {
    const isLast = first + count - 1 === total;
    if (isLast || (first + count - 1 > total - LOG_ENTRIES_MAX && bytes - dropped <= LOG_BYTES_MAX)) break;
    dropped += size;
    before = first;
  }
  connection.prepare('DELETE FROM log_pages WHERE task = ? AND first <= ?').run(task, before);
  return dropped;
}

export function readLog(connection: SqliteConnection, id: string, after: number, limit: number): TaskLog {
  const task = connection.prepareValue('SELECT seq FROM tasks WHERE id = ?').get(id) as number | undefined;
  if (task === undefined) return NO_LOG;
  const head = readHead(connection, task);
  if (head === undefined) return NO_LOG;
  const rows = connection.prepareRows(SELECT_PAGES).all(task, after + 1, task, after + 1, limit) as [
    number,
    number,
    string,
  ][];
  const pages = rows.map(([first, count, text]) => ({ first, count, text }));
  return { total: head.total, starts: head.starts, pages };
}

export function removeLogs(connection: SqliteConnection, tasks: readonly number[]): void {
  const seqs = JSON.stringify(tasks);
  for (const table of ['logs', 'log_pages'])
    connection.prepare(`DELETE FROM ${table} WHERE task IN (SELECT value FROM json_each(?))`).run(seqs);
}

function readHead(connection: SqliteConnection, task: number): Head | undefined {
  const row = connection.prepareRows(SELECT_LOG).get(task) as [number, number, string] | undefined;
  return row && { total: row[0], bytes: row[1], starts: parseStarts(row[2]) };
}
