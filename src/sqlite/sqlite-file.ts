import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { StoreUnavailableError } from '../errors.ts';
import { openWritable, type SqliteConnection } from './connection.ts';
import { corrupt } from './sqlite-errors.ts';

/** 'JOTY', kept in the file's header, tells our files from other programs' SQLite files. */
const APPLICATION_ID = 0x4a4f5459;

const HEADER_BYTES = 100;
const MAGIC = 'SQLite format 3\0';
const WAL_HEADER_BYTES = 32;
const WAL_FRAME_HEADER_BYTES = 24;
/** A half-made file of a process that was killed is removed by a later creation when it is this much older. */
const ABANDONED_AFTER_MS = 10 * 60_000;

const RESTORE = 'restore it from a backup, or move it away to start with an empty one';

/**
 * Makes a new database at `path` unless there is one. It is built under a
 * temporary name and linked to its own when it is whole and on disk: at no
 * moment does `path` name an empty or half-made file, and of several processes
 * that create at once the first wins and the others use its file.
 */
export function createFileUnlessExists(path: string, install: (connection: SqliteConnection) => void): void {
  if (existsSync(path)) return;
  makeFolder(path);
  refuseOrphanedWal(path);
  const temporary = `${temporaryPrefix(path)}${process.pid}-${randomUUID()}`;
  try {
    build(temporary, install);
    removeAbandoned(path, temporary);
    publish(temporary, path);
  } finally {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(temporary + suffix, { force: true });
  }
}

/** Creates the folders above `path`. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (cause) {
    throw new StoreUnavailableError(
      `${path}: its folder cannot be created; check the path and its permissions`,
      { cause },
    );
  }
}

/** Syncs the finished file, gives it its name unless that is taken (false), and syncs the folder. */
export function publish(temporary: string, path: string): boolean {
  syncPath(temporary);
  try {
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new StoreUnavailableError(
      `${path}: the file cannot be created; its folder must allow writing and hard links`,
      {
        cause: error,
      },
    );
  }
  syncPath(dirname(path));
  return true;
}

/** Where files are built that will be published at `path`: the same folder, so that a link is possible. */
export function temporaryPrefix(path: string): string {
  return `${path}.new-`;
}

/** Creates the meta table and the store id, which tells this database from any other that may later stand at its path. */
export function installMeta(connection: SqliteConnection): void {
  connection.raw.pragma(`application_id = ${APPLICATION_ID}`);
  connection.raw.exec('CREATE TABLE jotty_meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID');
  connection.prepare('INSERT INTO jotty_meta (key, value) VALUES (?, ?)').run('store_id', randomUUID());
}

/**
 * Looks at an existing file without opening it as a database, so that a file
 * that is not ours stays untouched.
 * @throws StoreCorruptError for an empty, foreign, damaged or cut file.
 */
export function inspectFile(path: string): void {
  const { header, bytes } = readHeader(path);
  if (bytes === 0) throw corrupt(path, `is empty (0 bytes), which Jotty never leaves behind: ${RESTORE}`);
  if (bytes < HEADER_BYTES || header.toString('latin1', 0, 16) !== MAGIC) {
    throw corrupt(path, `is not a SQLite database, or its header is damaged: ${RESTORE}`);
  }
  if (header.readUInt32BE(68) !== APPLICATION_ID) {
    throw corrupt(
      path,
      'is a SQLite database of another program; it was left untouched: choose another path',
    );
  }
  refuseCutFile(path, header, bytes);
}

/** Pages the header counts, the file lacks and the WAL cannot hold are gone; SQLite itself would notice only when it needs one. */
function refuseCutFile(path: string, header: Buffer, bytes: number): void {
  const stored = header.readUInt16BE(16);
  const pageBytes = stored === 1 ? 65_536 : stored;
  if (pageBytes < 512) throw corrupt(path, `has a damaged header: ${RESTORE}`);
  // The count is valid only when written together with the change counter.
  if (header.readUInt32BE(24) !== header.readUInt32BE(92)) return;
  const missing = header.readUInt32BE(28) - Math.floor(bytes / pageBytes);
  if (missing <= 0) return;
  const walBytes = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  const walPages = Math.floor((walBytes - WAL_HEADER_BYTES) / (pageBytes + WAL_FRAME_HEADER_BYTES));
  if (missing > walPages) throw corrupt(path, `is cut short, ${missing} pages are missing: ${RESTORE}`);
}

function readHeader(path: string): { header: Buffer; bytes: number } {
  const header = Buffer.alloc(HEADER_BYTES);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    throw new StoreUnavailableError(`${path}: the file cannot be read; check its permissions`, { cause });
  }
  try {
    const bytes = statSync(path).size;
    if (!statSync(path).isFile()) throw corrupt(path, 'is not a file: choose another path');
    readSync(file, header, 0, HEADER_BYTES, 0);
    return { header, bytes };
  } finally {
    closeSync(file);
  }
}

/** SQLite would replay a left-over WAL into the new database. The second look is for a creator that was faster: it links first. */
function refuseOrphanedWal(path: string): void {
  if (existsSync(`${path}-wal`) && !existsSync(path)) {
    throw corrupt(
      path,
      `is missing but ${basename(path)}-wal is there: put the database back, or move the -wal file away`,
    );
  }
}

function build(temporary: string, install: (connection: SqliteConnection) => void): void {
  const connection = openWritable(temporary, false);
  try {
    installMeta(connection);
    install(connection);
    connection.raw.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    connection.close();
  }
}

/** Ages are compared within the file system's own clock. */
function removeAbandoned(path: string, own: string): void {
  const prefix = basename(temporaryPrefix(path));
  const newest = statSync(own).mtimeMs;
  for (const name of readdirSync(dirname(path))) {
    if (!name.startsWith(prefix)) continue;
    const file = join(dirname(path), name);
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat !== undefined && newest - stat.mtimeMs > ABANDONED_AFTER_MS) rmSync(file, { force: true });
  }
}

function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } catch (error) {
    // Some file systems cannot sync a folder; the file itself is synced everywhere.
    if (!statSync(path).isDirectory()) throw error;
  } finally {
    closeSync(file);
  }
}
