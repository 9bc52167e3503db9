import { type BetterSqlite3Database, loadBetterSqlite3, type SqliteStatement } from './better-sqlite3.ts';

/** How long one statement may hold up the event loop while another process writes. Longer waits are asynchronous. */
const BUSY_TIMEOUT_MS = 5;
/** Opening is synchronous and rare: it may wait this long for another process that recovers or closes the file. */
const OPEN_BUSY_TIMEOUT_MS = 2_000;
/** Memory for pages; 8 MiB hold the hot part of a queue of 100,000 tasks. */
const CACHE_KIB = 8_192;
/**
 * A WAL checkpoint runs inside the commit that reaches this size, 16 MiB: it takes up to 30 ms, and saves 2 µs
 * of each task against checkpoints of a tenth of that, since hot pages are copied once for many commits.
 */
const WAL_AUTOCHECKPOINT_PAGES = 4_000;
/** The WAL file is cut back to this after a burst; below it is overwritten in place, which syncs faster. */
const WAL_BYTES_KEPT = 32 * 1024 * 1024;
const SYNCHRONOUS_FULL = 2;

/** One open handle and its prepared statements, which are kept for the life of the handle. */
export class SqliteConnection {
  readonly raw: BetterSqlite3Database;
  readonly #statements = new Map<string, SqliteStatement>();
  readonly #valueStatements = new Map<string, SqliteStatement>();
  readonly #rowStatements = new Map<string, SqliteStatement>();

  constructor(raw: BetterSqlite3Database) {
    this.raw = raw;
  }

  /**
   * The statement for `sql`, prepared once. Pass constant texts only: each distinct text stays in memory. Write
   * `LIMIT +?`: the planner looks at the value of a bare `LIMIT ?` and plans anew whenever it is bound, 10–80 µs.
   */
  prepare(sql: string): SqliteStatement {
    return this.#statements.get(sql) ?? this.#keep(sql, this.#statements);
  }

  /** Like `prepare`; `get` answers the first column itself. */
  prepareValue(sql: string): SqliteStatement {
    return this.#valueStatements.get(sql) ?? this.#keep(sql, this.#valueStatements).pluck();
  }

  /** Like `prepare`; a row is an array of its columns, which is faster than an object. */
  prepareRows(sql: string): SqliteStatement {
    return this.#rowStatements.get(sql) ?? this.#keep(sql, this.#rowStatements).raw();
  }

  #keep(sql: string, kept: Map<string, SqliteStatement>): SqliteStatement {
    const statement = this.raw.prepare(sql);
    kept.set(sql, statement);
    return statement;
  }

  close(): void {
    this.#statements.clear();
    this.#valueStatements.clear();
    this.#rowStatements.clear();
    if (this.raw.open) this.raw.close();
  }
}

/** Opens an existing file (or `:memory:`) for writing: WAL, and every commit reaches the disk before it returns. */
export function openWritable(path: string, fileMustExist: boolean): SqliteConnection {
  const raw = new (loadBetterSqlite3())(path, { fileMustExist, timeout: OPEN_BUSY_TIMEOUT_MS });
  try {
    // The order matters: better-sqlite3 is built so that switching to WAL lowers `synchronous` unless it is set explicitly.
    raw.pragma('journal_mode = WAL');
    raw.pragma('synchronous = FULL');
    raw.pragma(`cache_size = -${CACHE_KIB}`);
    raw.pragma(`wal_autocheckpoint = ${WAL_AUTOCHECKPOINT_PAGES}`);
    raw.pragma(`journal_size_limit = ${WAL_BYTES_KEPT}`);
    raw.pragma('foreign_keys = OFF');
    if (raw.pragma('synchronous', { simple: true }) !== SYNCHRONOUS_FULL) {
      throw new Error(`${path}: SQLite did not accept synchronous=FULL`);
    }
    return new SqliteConnection(raw);
  } catch (error) {
    raw.close();
    throw error;
  }
}

/** Called once the file is set up: from here on waiting is asynchronous. */
export function shortenBusyTimeout(connection: SqliteConnection): void {
  connection.raw.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
}

/** Opens an existing file for reading beside a writer. */
export function openReadonly(path: string): SqliteConnection {
  const raw = new (loadBetterSqlite3())(path, {
    readonly: true,
    fileMustExist: true,
    timeout: BUSY_TIMEOUT_MS,
  });
  return new SqliteConnection(raw);
}
