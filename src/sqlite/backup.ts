import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { InvalidOptionError } from '../errors.ts';
import { openReadonly } from './connection.ts';
import { mapSqliteError } from './sqlite-errors.ts';
import { makeFolder, publish, temporaryPrefix } from './sqlite-file.ts';

/** 1 MiB of 4 KiB pages per turn of the event loop, about 1–2 ms. */
const BACKUP_PAGES_PER_STEP = 256;

/**
 * Copies a live database. The copy is the state of one moment: it is read
 * through a connection of its own inside one read transaction, so writers go on
 * and never restart it. It appears at `target` whole and synced, or not at all.
 * @throws InvalidOptionError when `target` exists.
 */
export async function backupFile(source: string, target: string): Promise<void> {
  if (existsSync(target)) throw taken(target);
  makeFolder(target);
  const temporary = `${temporaryPrefix(target)}${process.pid}-${randomUUID()}`;
  const reader = openReadonly(source);
  try {
    reader.raw.exec('BEGIN');
    reader.prepare('SELECT 1 FROM jotty_meta').get();
    await reader.raw.backup(temporary, { progress: () => BACKUP_PAGES_PER_STEP });
    if (!publish(temporary, target)) throw taken(target);
  } catch (error) {
    throw mapSqliteError(error, source);
  } finally {
    reader.close();
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(temporary + suffix, { force: true });
  }
}

function taken(target: string): InvalidOptionError {
  return new InvalidOptionError('backup path', 'a path where no file is', target);
}
