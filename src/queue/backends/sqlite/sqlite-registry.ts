import type { SqliteDatabase } from '../../../sqlite/sqlite-database.ts';
import { checkEntry, checkRoom, type Registry, type RegistryEntry } from '../../registry.ts';

/** A registry in the queue's SQLite file, shared by all processes that have it open. */
export class SQLiteRegistry implements Registry {
  readonly #database: () => SqliteDatabase;

  constructor(database: () => SqliteDatabase) {
    this.#database = database;
  }

  async put(
    section: string,
    { key, value, expiresAt }: Omit<RegistryEntry, 'version'>,
    now: number,
    version?: number,
  ): Promise<boolean> {
    checkEntry(section, { key, value, expiresAt });
    return this.#database().write((connection) => {
      connection.prepare('DELETE FROM registry WHERE section = ? AND expires_at <= ?').run(section, now);
      const held = connection
        .prepareValue('SELECT version FROM registry WHERE section = ? AND key = ?')
        .get(section, key);
      if (version !== undefined && version !== (held ?? 0)) return false;
      if (held === undefined) {
        const count = connection.prepareValue('SELECT count(*) FROM registry WHERE section = ?').get(section);
        checkRoom(section, Number(count));
      }
      connection
        .prepare(
          'INSERT OR REPLACE INTO registry (section, key, value, expires_at, version) VALUES (?, ?, ?, ?, ?)',
        )
        .run(section, key, value, expiresAt, Number(held ?? 0) + 1);
      return true;
    });
  }

  async remove(section: string, key: string): Promise<void> {
    await this.#database().write((connection) => {
      connection.prepare('DELETE FROM registry WHERE section = ? AND key = ?').run(section, key);
    });
  }

  async entries(section: string, now: number): Promise<RegistryEntry[]> {
    return this.#database().read((connection) =>
      connection
        .prepare(
          `SELECT key, value, expires_at AS expiresAt, version FROM registry
           WHERE section = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key`,
        )
        .all(section, now),
    ) as RegistryEntry[];
  }
}
