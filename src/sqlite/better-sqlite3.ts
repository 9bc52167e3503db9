import { createRequire } from 'node:module';
import { JottyError, MissingPackageError } from '../errors.ts';

/** What can be bound to a statement. Text is bound as given: pass `JSON.stringify` output, never raw user text with lone surrogates. */
type SqliteValue = string | number | bigint | null | Uint8Array;

/** The part of a better-sqlite3 statement Jotty uses; structural, so that no optional package leaks into our types. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): { readonly changes: number; readonly lastInsertRowid: number | bigint };
  get(...values: SqliteValue[]): unknown;
  all(...values: SqliteValue[]): unknown[];
  iterate(...values: SqliteValue[]): IterableIterator<unknown>;
  pluck(toggle?: boolean): this;
  raw(toggle?: boolean): this;
}

/** The part of a better-sqlite3 database Jotty uses. */
export interface BetterSqlite3Database {
  readonly inTransaction: boolean;
  readonly open: boolean;
  prepare(sql: string): SqliteStatement;
  exec(sql: string): unknown;
  pragma(source: string, options?: { simple?: boolean }): unknown;
  backup(
    path: string,
    options?: { progress?: (state: { remainingPages: number }) => number },
  ): Promise<unknown>;
  close(): unknown;
}

interface OpenOptions {
  readonly readonly?: boolean;
  readonly fileMustExist?: boolean;
  readonly timeout?: number;
}

type BetterSqlite3 = new (path: string, options?: OpenOptions) => BetterSqlite3Database;

/** better-sqlite3 13 calls N-API 10 functions; on an older Node it ends the process with SIGSEGV and no message. */
const NAPI_MIN_FOR_MAJOR_13 = 10;

const require = createRequire(import.meta.url);
let loaded: BetterSqlite3 | undefined;

/**
 * Loads better-sqlite3 on first use, never on import.
 * @throws MissingPackageError when it is not installed; JottyError `MISSING_PACKAGE` when its version cannot run on this Node.
 */
export function loadBetterSqlite3(): BetterSqlite3 {
  loaded ??= load();
  return loaded;
}

function load(): BetterSqlite3 {
  let version: string;
  try {
    version = (require('better-sqlite3/package.json') as { version: string }).version;
  } catch (cause) {
    throw new MissingPackageError('better-sqlite3', 'the SQLite backend', { cause });
  }
  refuseUnsafeVersion(version, Number(process.versions.napi));
  try {
    return require('better-sqlite3') as BetterSqlite3;
  } catch (cause) {
    throw new MissingPackageError('better-sqlite3', 'the SQLite backend', { cause });
  }
}

/** Refuses, with a sentence, the combination that would otherwise be a segmentation fault. */
export function refuseUnsafeVersion(version: string, napi: number): void {
  if (Number.parseInt(version, 10) >= 13 && napi < NAPI_MIN_FOR_MAJOR_13) {
    throw new JottyError(
      'MISSING_PACKAGE',
      `better-sqlite3 ${version} needs Node-API ${NAPI_MIN_FOR_MAJOR_13} and this Node has ${napi}: npm install better-sqlite3@12, or use a newer Node`,
    );
  }
}
