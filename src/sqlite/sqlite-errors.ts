import { JottyError, StoreCorruptError, StoreUnavailableError } from '../errors.ts';

const UNAVAILABLE: Readonly<Record<string, string>> = {
  SQLITE_FULL: 'the disk is full; free some space and try again',
  SQLITE_IOERR: 'the disk reported an error; check it and try again',
  SQLITE_BUSY: 'another process holds the write lock; try again',
  SQLITE_LOCKED: 'the database is locked; try again',
  SQLITE_CANTOPEN: 'the file cannot be opened; check the folder and its permissions',
  SQLITE_READONLY: 'the file cannot be written; check its permissions',
  SQLITE_PERM: 'access was denied; check the permissions of the file',
  SQLITE_NOMEM: 'out of memory; try again',
  SQLITE_PROTOCOL: 'file locking does not work here; use a local disk',
};

/** The primary result code of a SQLite error, e.g. `SQLITE_IOERR` for `SQLITE_IOERR_WRITE`; undefined for any other error. */
function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && code.startsWith('SQLITE_')
    ? /^SQLITE_[A-Z]+/.exec(code)?.[0]
    : undefined;
}

export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === 'SQLITE_BUSY' || code === 'SQLITE_LOCKED';
}

/** Whether the error concerns the whole file, not the one statement that met it: its transaction is not to be trusted. */
export function isStorageError(error: unknown): boolean {
  const code = sqliteCode(error);
  return code !== undefined && (code in UNAVAILABLE || isDamage(code, error));
}

/** All our statements are constant: where one no longer compiles, the schema in the file is damaged. */
function isDamage(code: string, error: unknown): boolean {
  if (code === 'SQLITE_CORRUPT' || code === 'SQLITE_NOTADB') return true;
  return code === 'SQLITE_ERROR' && !/transaction|savepoint/.test((error as Error).message);
}

export function corrupt(path: string, problem: string, options?: ErrorOptions): StoreCorruptError {
  return new StoreCorruptError(`${path} ${problem}`, options);
}

/** Turns SQLite's errors into Jotty's; an error of another kind, a broken constraint included, stays as it is. */
export function mapSqliteError(error: unknown, path: string): unknown {
  if (error instanceof JottyError) return error;
  const code = sqliteCode(error);
  if (code === undefined) return error;
  if (isDamage(code, error)) {
    return corrupt(path, 'is damaged: restore it from a backup, or salvage it with `sqlite3 FILE .recover`', {
      cause: error,
    });
  }
  const advice = UNAVAILABLE[code];
  return advice === undefined
    ? error
    : new StoreUnavailableError(`${path}: ${advice} (${code})`, { cause: error });
}
