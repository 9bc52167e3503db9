import { StoreUnavailableError } from '../errors.ts';
import type { SqliteConnection } from './connection.ts';
import { isBusy, isStorageError, mapSqliteError } from './sqlite-errors.ts';

/** One flush runs operations for at most this long (one operation is never cut); the rest follows on the next turn of the loop. */
const FLUSH_BUDGET_MS = 20;
/** One slice of a sliced write; shorter, since the commit of a large one comes on top. */
const SLICE_BUDGET_MS = 10;
/** Longest total wait for another process's write lock. */
export const BUSY_DEADLINE_MS = 10_000;
const BUSY_RETRY_FIRST_MS = 1;
const BUSY_RETRY_MAX_MS = 50;

/** Runs inside a transaction; may run only once, and synchronously. */
export type WriteOperation<T> = (connection: SqliteConnection) => T;
/** A write that pauses at each `yield`, so that a large one does not hold up the event loop. */
export type SlicedOperation<T> = (connection: SqliteConnection) => Iterator<unknown, T, undefined>;

export interface WriteOptions {
  /** Roll back just this operation when it throws. Needed only where it may throw after its first write; costs about 2 µs. @default false */
  readonly savepoint?: boolean;
}

export interface GroupCommitOptions {
  readonly path: string;
  readonly busyDeadlineMs: number;
  readonly random: () => number;
  /** ms, from any start: how long operations have run. */
  readonly stopwatch: () => number;
}

interface Entry {
  readonly run: WriteOperation<unknown> | SlicedOperation<unknown>;
  readonly sliced: boolean;
  readonly savepoint: boolean;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
  /** What `run` returned or threw, until the commit. */
  outcome: unknown;
  threw: boolean;
}

/**
 * The single writer of a connection. Operations asked for in one turn of the
 * event loop share one BEGIN IMMEDIATE … COMMIT, in the order asked, and each
 * promise settles only after that commit: durability costs one disk sync for all.
 *
 * An operation that throws fails alone: it makes its checks before its first
 * write, or asks for a savepoint. An error of the storage itself (full disk,
 * damage, a commit that fails) rolls back the transaction and fails all of it.
 */
export class GroupCommit {
  readonly #connection: SqliteConnection;
  readonly #options: GroupCommitOptions;
  #waiting: Entry[] = [];
  #scheduled = false;
  #sliceRunning = false;
  #busySinceMs: number | undefined;
  #busyAttempts = 0;
  /** How many waited already when the lock was first refused: only they run into that deadline. */
  #busyEntries = 0;
  #idleListeners: (() => void)[] = [];
  #commits = 0;

  constructor(connection: SqliteConnection, options: GroupCommitOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Transactions committed so far. */
  get commits(): number {
    return this.#commits;
  }

  /** True while a sliced write is under way: its unfinished rows are visible on this connection. */
  get sliceRunning(): boolean {
    return this.#sliceRunning;
  }

  write<T>(run: WriteOperation<T>, savepoint: boolean): Promise<T> {
    return this.#enter<T>(run, false, savepoint);
  }

  writeSliced<T>(run: SlicedOperation<T>): Promise<T> {
    return this.#enter<T>(run, true, false);
  }

  /** Resolves when nothing is waiting or running. */
  idle(): Promise<void> {
    if (this.#waiting.length === 0 && !this.#sliceRunning) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleListeners.push(resolve);
    });
  }

  #enter<T>(run: Entry['run'], sliced: boolean, savepoint: boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ run, sliced, savepoint, resolve, reject, outcome: undefined, threw: false });
      if (!this.#scheduled) this.#schedule();
    });
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    if (!this.#begin()) return;
    const head = this.#waiting[0];
    if (head?.sliced === true) this.#startSlices(head);
    else this.#flushBatch();
  };

  #flushBatch(): void {
    const waiting = this.#waiting;
    const { stopwatch } = this.#options;
    const startedMs = stopwatch();
    let taken = 0;
    try {
      do this.#runOne(waiting[taken++]!);
      while (taken < waiting.length && !waiting[taken]!.sliced && stopwatch() - startedMs < FLUSH_BUDGET_MS);
      this.#commit();
    } catch (error) {
      this.#fail(this.#take(taken), error);
      this.#next();
      return;
    }
    settle(this.#take(taken));
    this.#next();
  }

  #runOne(entry: Entry): void {
    const savepoint = entry.savepoint;
    try {
      if (savepoint) this.#connection.prepare('SAVEPOINT op').run();
      entry.outcome = (entry.run as WriteOperation<unknown>)(this.#connection);
      if (savepoint) this.#connection.prepare('RELEASE op').run();
    } catch (error) {
      // Some storage errors make SQLite roll back the whole transaction by itself.
      if (isStorageError(error) || !this.#connection.raw.inTransaction) throw error;
      entry.outcome = error;
      entry.threw = true;
      if (savepoint) this.#connection.raw.exec('ROLLBACK TO op; RELEASE op');
    }
  }

  #startSlices(entry: Entry): void {
    this.#take(1);
    this.#sliceRunning = true;
    let steps: Iterator<unknown, unknown, undefined> | undefined;
    const slice = (): void => {
      const startedMs = performance.now();
      try {
        steps ??= (entry.run as SlicedOperation<unknown>)(this.#connection);
        let step = steps.next();
        while (step.done !== true && performance.now() - startedMs < SLICE_BUDGET_MS) step = steps.next();
        if (step.done !== true) {
          setImmediate(slice);
          return;
        }
        entry.outcome = step.value;
        this.#commit();
      } catch (error) {
        this.#sliceRunning = false;
        this.#fail([entry], error);
        this.#next();
        return;
      }
      this.#sliceRunning = false;
      settle([entry]);
      this.#next();
    };
    slice();
  }

  /** False when there is no transaction: another process writes (a retry is under way), or the storage failed. */
  #begin(): boolean {
    try {
      this.#connection.prepare('BEGIN IMMEDIATE').run();
    } catch (error) {
      if (isBusy(error)) this.#retryLater(error);
      else {
        this.#fail(this.#take(this.#waiting.length), error);
        this.#next();
      }
      return false;
    }
    this.#busySinceMs = undefined;
    this.#busyAttempts = 0;
    return true;
  }

  #commit(): void {
    this.#connection.prepare('COMMIT').run();
    this.#commits++;
  }

  /** The timer keeps the process alive on purpose: somebody awaits these writes. */
  #retryLater(error: unknown): void {
    const nowMs = performance.now();
    if (this.#busySinceMs === undefined) {
      this.#busySinceMs = nowMs;
      this.#busyEntries = this.#waiting.length;
    }
    if (nowMs - this.#busySinceMs >= this.#options.busyDeadlineMs) {
      const late = this.#take(this.#busyEntries);
      this.#busySinceMs = undefined;
      this.#busyAttempts = 0;
      this.#rejectAll(late, this.#deadlineError(error));
      this.#next();
      return;
    }
    const delayMs = Math.min(BUSY_RETRY_FIRST_MS * 2 ** this.#busyAttempts++, BUSY_RETRY_MAX_MS);
    setTimeout(this.#flush, delayMs * (0.5 + this.#options.random() / 2));
  }

  #deadlineError(cause: unknown): StoreUnavailableError {
    const { path, busyDeadlineMs } = this.#options;
    return new StoreUnavailableError(
      `${path}: another process held the write lock for ${busyDeadlineMs} ms`,
      { cause },
    );
  }

  #fail(entries: readonly Entry[], error: unknown): void {
    try {
      if (this.#connection.raw.inTransaction) this.#connection.prepare('ROLLBACK').run();
    } catch {
      // SQLite has rolled back already; the error that led here is the one to report.
    }
    this.#rejectAll(entries, mapSqliteError(error, this.#options.path));
  }

  #rejectAll(entries: readonly Entry[], reason: unknown): void {
    for (const entry of entries) entry.reject(reason);
  }

  #take(count: number): Entry[] {
    if (count < this.#waiting.length) return this.#waiting.splice(0, count);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  #next(): void {
    if (this.#waiting.length > 0) {
      this.#schedule();
      return;
    }
    this.#scheduled = false;
    for (const listener of this.#idleListeners.splice(0)) listener();
  }
}

function settle(entries: readonly Entry[]): void {
  for (const entry of entries) {
    if (entry.threw) entry.reject(entry.outcome);
    else entry.resolve(entry.outcome as never);
  }
}
