import { resolve } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { ClosedError, InvalidOptionError } from '../errors.ts';
import { backupFile } from './backup.ts';
import { ChangeWatch } from './change-watch.ts';
import { openReadonly, openWritable, type SqliteConnection, shortenBusyTimeout } from './connection.ts';
import {
  BUSY_DEADLINE_MS,
  GroupCommit,
  type SlicedOperation,
  type WriteOperation,
  type WriteOptions,
} from './group-commit.ts';
import { applyMigrations, isBehind, migrate, type SqliteComponent, versionOf } from './migrations.ts';
import { corrupt, isBusy, mapSqliteError } from './sqlite-errors.ts';
import { createFileUnlessExists, inspectFile, installMeta } from './sqlite-file.ts';

/** Reads are synchronous; each attempt waits up to the busy timeout, so a read gives up after about 50 ms. */
const READ_ATTEMPTS_MAX = 10;
const MEMORY = ':memory:';

export interface SqliteDatabaseOptions {
  /** The parts of the schema this user needs; more can be installed later. */
  readonly components: readonly SqliteComponent[];
  /** Drives the look for other processes' changes. @default the system's */
  readonly clock?: Clock;
  /** Longest wait for another process's write lock, in ms. @default 10_000 */
  readonly busyDeadlineMs?: number;
  /** Jitter of the retries. @default Math.random */
  readonly random?: () => number;
  /** Tells how long the operations of a commit have run, ms. @default performance.now */
  readonly stopwatch?: () => number;
}

/**
 * One SQLite file, shared by everything in this process that keeps data in it:
 * one connection, one writer, one commit for all writes of a turn of the event
 * loop (see `GroupCommit`). Every commit is on disk before it is acknowledged.
 *
 * Whoever opens it holds it; others `retain` it, and the file is closed when the
 * last holder lets go.
 */
export class SqliteDatabase {
  readonly path: string;
  /** Made once with the file: another id at the same path is another database. */
  readonly storeId: string;
  readonly #connection: SqliteConnection;
  readonly #commits: GroupCommit;
  readonly #watch: ChangeWatch;
  #reader: SqliteConnection | undefined;
  #holders = 0;
  #closed: Promise<void> | undefined;
  readonly #releaseOwn: () => Promise<void>;

  /**
   * Opens the file, and creates it (with its folders) where there is none.
   * @throws StoreCorruptError for an empty, damaged, cut or foreign file, which is left untouched;
   *   SchemaTooNewError for a file of a newer release; StoreUnavailableError when it cannot be opened;
   *   MissingPackageError without better-sqlite3.
   */
  static open(location: string, options: SqliteDatabaseOptions): SqliteDatabase {
    // Other handles on the file are opened later, when the working directory may be another one.
    const path = location === MEMORY ? MEMORY : resolve(location);
    let connection: SqliteConnection | undefined;
    try {
      connection = path === MEMORY ? openMemory() : openFile(path, options.components);
      for (const component of options.components) migrate(connection, component, path);
      const storeId = connection.prepareValue('SELECT value FROM jotty_meta WHERE key = ?').get('store_id');
      if (typeof storeId !== 'string') throw corrupt(path, 'has lost its store id: restore it from a backup');
      shortenBusyTimeout(connection);
      return new SqliteDatabase(path, storeId, connection, options);
    } catch (error) {
      connection?.close();
      throw isMissingMeta(error)
        ? corrupt(path, 'has lost its meta table: restore it from a backup', { cause: error })
        : mapSqliteError(error, path);
    }
  }

  private constructor(
    path: string,
    storeId: string,
    connection: SqliteConnection,
    options: SqliteDatabaseOptions,
  ) {
    this.path = path;
    this.storeId = storeId;
    this.#connection = connection;
    this.#commits = new GroupCommit(connection, {
      path,
      busyDeadlineMs: options.busyDeadlineMs ?? BUSY_DEADLINE_MS,
      random: options.random ?? Math.random,
      stopwatch: options.stopwatch ?? (() => performance.now()),
    });
    this.#watch = new ChangeWatch(connection, options.clock ?? systemClock);
    this.#releaseOwn = this.retain();
  }

  /** Transactions committed by this process since the file was opened. */
  get commitCount(): number {
    return this.#commits.commits;
  }

  /** Adds a part of the schema to the open file, e.g. the checkpoints to a queue's file. Does nothing where it is there. */
  async install(component: SqliteComponent): Promise<void> {
    if (!this.read((connection) => isBehind(connection, component, this.path))) return;
    await this.write((connection) => applyMigrations(connection, component, this.path), { savepoint: true });
  }

  has(component: SqliteComponent): boolean {
    return this.read((connection) => versionOf(connection, component) > 0);
  }

  /**
   * Runs `operation` in the next shared transaction; resolves with what it returned, after the commit.
   * It must be synchronous, and make its checks before its first write or ask for a savepoint.
   * @throws what the operation throws; StoreUnavailableError (nothing was written, try again); StoreCorruptError.
   */
  write<T>(operation: WriteOperation<T>, options?: WriteOptions): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(this.#closedError());
    return this.#commits.write(operation, options?.savepoint === true);
  }

  /**
   * A large write as one transaction over several turns of the event loop. It can be paused at each
   * `yield` (yield every 100 rows or so); nothing else is written meanwhile, all or nothing of it is
   * stored, and reads see none of it before its commit. What it throws rolls back all of it.
   */
  writeSliced<T>(operation: SlicedOperation<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(this.#closedError());
    return this.#commits.writeSliced(operation);
  }

  /**
   * Reads committed data at once. Take statements from the connection given, which is not always the same one.
   * @throws StoreUnavailableError, StoreCorruptError, ClosedError
   */
  read<T>(operation: (connection: SqliteConnection) => T): T {
    this.#refuseClosed();
    try {
      return operation(this.#readConnection());
    } catch (error) {
      return this.#readAgain(operation, error);
    }
  }

  /** Like `read`, with all statements seeing the same moment, also while other processes write. */
  readSnapshot<T>(operation: (connection: SqliteConnection) => T): T {
    return this.read((connection) => {
      if (connection.raw.inTransaction) return operation(connection);
      connection.prepare('BEGIN').run();
      try {
        return operation(connection);
      } finally {
        if (connection.raw.inTransaction) connection.prepare('COMMIT').run();
      }
    });
  }

  /** Calls `listener` within about 20 ms of a commit by another process (never for our own) until the result is called. */
  watch(listener: () => void): () => void {
    this.#refuseClosed();
    return this.#watch.add(listener);
  }

  /** Copies the live database to `path`, consistent and synced. @throws InvalidOptionError when there is a file. */
  async backup(path: string): Promise<void> {
    this.#refuseClosed();
    if (this.path === MEMORY) throw new InvalidOptionError('path', 'a database in a file', MEMORY);
    await backupFile(this.path, path);
  }

  /** Holds the database open; call the result to let go. Calling it again does nothing. */
  retain(): () => Promise<void> {
    this.#refuseClosed();
    this.#holders++;
    let released: Promise<void> | undefined;
    return () => {
      released ??= this.#release();
      return released;
    };
  }

  /** Lets go of what `open` held. Resolves after the writes in flight; the file is closed with its last holder. */
  close(): Promise<void> {
    return this.#releaseOwn();
  }

  async #release(): Promise<void> {
    this.#holders--;
    if (this.#holders === 0) this.#closed = this.#shut();
    await (this.#closed ?? this.#commits.idle());
  }

  async #shut(): Promise<void> {
    this.#watch.stop();
    await this.#commits.idle();
    this.#reader?.close();
    this.#connection.close();
  }

  /** During a sliced write its connection would show unfinished rows: read beside it. */
  #readConnection(): SqliteConnection {
    if (!this.#commits.sliceRunning || this.path === MEMORY) return this.#connection;
    this.#reader ??= openReadonly(this.path);
    return this.#reader;
  }

  #readAgain<T>(operation: (connection: SqliteConnection) => T, first: unknown): T {
    let error = first;
    for (let attempt = 1; attempt < READ_ATTEMPTS_MAX && isBusy(error); attempt++) {
      try {
        return operation(this.#readConnection());
      } catch (again) {
        error = again;
      }
    }
    throw mapSqliteError(error, this.path);
  }

  #refuseClosed(): void {
    if (this.#closed !== undefined) throw this.#closedError();
  }

  #closedError(): ClosedError {
    return new ClosedError(`the database ${this.path}`);
  }
}

function openFile(path: string, components: readonly SqliteComponent[]): SqliteConnection {
  createFileUnlessExists(path, (connection) => {
    for (const component of components) migrate(connection, component, path);
  });
  inspectFile(path);
  return openWritable(path, true);
}

function openMemory(): SqliteConnection {
  const connection = openWritable(MEMORY, false);
  installMeta(connection);
  return connection;
}

function isMissingMeta(error: unknown): boolean {
  return error instanceof Error && error.message === 'no such table: jotty_meta';
}
