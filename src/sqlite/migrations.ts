import { readdirSync, readFileSync } from 'node:fs';
import { JottyError, SchemaTooNewError } from '../errors.ts';
import type { SqliteConnection } from './connection.ts';

/** A part of the file with a schema of its own, e.g. the queue or the checkpoints. */
export interface SqliteComponent {
  /** Names its version in the meta table. Never change it. */
  readonly name: string;
  /** Folder of numbered files `001_name.sql`, applied in order, each once; ends in `/`. */
  readonly migrations: URL;
}

interface Migration {
  readonly version: number;
  readonly file: URL;
}

const NAME = /^(\d{3})_[a-z0-9_]+\.sql$/;

/**
 * Brings the component to the newest version this release knows, in a
 * transaction of its own. A crash leaves the file at a whole version; processes
 * that open the same file at once wait for each other.
 * @throws SchemaTooNewError when a newer release wrote the file; nothing is changed.
 */
export function migrate(connection: SqliteConnection, component: SqliteComponent, path: string): void {
  if (!isBehind(connection, component, path)) return;
  connection.raw.exec('BEGIN IMMEDIATE');
  try {
    applyMigrations(connection, component, path);
    connection.raw.exec('COMMIT');
  } catch (error) {
    if (connection.raw.inTransaction) connection.raw.exec('ROLLBACK');
    throw error;
  }
}

/** Whether migrations are missing here. @throws SchemaTooNewError */
export function isBehind(connection: SqliteConnection, component: SqliteComponent, path: string): boolean {
  const current = versionOf(connection, component);
  const newest = migrationsOf(component).length;
  if (current > newest) {
    throw new SchemaTooNewError(
      `${path} holds '${component.name}' in schema ${current}, this release knows up to ${newest}: upgrade jotty`,
    );
  }
  return current < newest;
}

/** Applies what is missing, forward only, inside the transaction that is open. Another process may have come first: it looks again. */
export function applyMigrations(
  connection: SqliteConnection,
  component: SqliteComponent,
  path: string,
): void {
  if (!isBehind(connection, component, path)) return;
  const missing = migrationsOf(component).slice(versionOf(connection, component));
  for (const migration of missing) connection.raw.exec(readFileSync(migration.file, 'utf8'));
  connection
    .prepare(
      'INSERT INTO jotty_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    )
    .run(keyOf(component), migrationsOf(component).length);
}

/** The installed version, 0 when the component is not in this file. */
export function versionOf(connection: SqliteConnection, component: SqliteComponent): number {
  const value = connection.prepareValue('SELECT value FROM jotty_meta WHERE key = ?').get(keyOf(component));
  return value === undefined ? 0 : Number(value);
}

function migrationsOf(component: SqliteComponent): Migration[] {
  const names = readdirSync(component.migrations)
    .filter((name) => NAME.test(name))
    .sort();
  return names.map((name, index) => {
    const version = Number(NAME.exec(name)?.[1]);
    if (version !== index + 1) {
      throw new JottyError(
        'INVALID_OPTION',
        `migrations of ${component.name}: expected number ${index + 1}, got ${name}`,
      );
    }
    return { version, file: new URL(name, component.migrations) };
  });
}

function keyOf(component: SqliteComponent): string {
  return `schema:${component.name}`;
}
