import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SqliteConnection } from '../../src/sqlite/connection.ts';
import type { SqliteComponent } from '../../src/sqlite/migrations.ts';
import { SqliteDatabase, type SqliteDatabaseOptions } from '../../src/sqlite/sqlite-database.ts';

/** A small schema to try the foundation with. */
export const NOTES: SqliteComponent = {
  name: 'notes',
  migrations: new URL('./migrations/notes/', import.meta.url),
};
export const NEWER_NOTES: SqliteComponent = {
  name: 'notes',
  migrations: new URL('./migrations/notes-newer/', import.meta.url),
};

export function addNote(text: string): (connection: SqliteConnection) => string {
  return (connection) => {
    connection.prepare('INSERT INTO notes (text) VALUES (?)').run(text);
    return text;
  };
}

export function notesIn(database: SqliteDatabase): string[] {
  return database.read((connection) =>
    connection.prepareValue('SELECT text FROM notes ORDER BY id').all(),
  ) as string[];
}

/** A folder of its own with a path for a database in it; disposing closes and removes everything. */
export class Workbench {
  readonly folder = mkdtempSync(join(tmpdir(), 'jotty-sqlite-'));
  readonly path = join(this.folder, 'notes.db');
  readonly #opened: SqliteDatabase[] = [];

  open(options: Partial<SqliteDatabaseOptions> = {}, path = this.path): SqliteDatabase {
    const database = SqliteDatabase.open(path, { components: [NOTES], ...options });
    this.#opened.push(database);
    return database;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const database of this.#opened) await database.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
