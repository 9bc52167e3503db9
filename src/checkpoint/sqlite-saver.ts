import { ClosedError, InvalidOptionError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import type { SqliteConnection } from '../sqlite/connection.ts';
import { SqliteDatabase } from '../sqlite/sqlite-database.ts';
import type { CheckpointRows } from './checkpoint-rows.ts';
import { CHECKPOINT_COMPONENT } from './component.ts';
import { IncrementalSaver } from './incremental-saver.ts';
import { SqliteRows } from './sqlite-rows.ts';

export type SQLiteSaverOptions =
  /** A file of its own, created where there is none. */
  | { readonly path: string }
  /** A database that is open already, e.g. the queue's, or a function that opens it when it is first needed. */
  | { readonly database: SqliteDatabase | (() => SqliteDatabase) };

/**
 * LangGraph checkpoints in a SQLite file. What `put` and `putWrites` acknowledge
 * is on disk; the writes of all runs in flight, and those of a queue in the same
 * file, share one commit. Several processes may use one file.
 *
 * Nothing is opened before the first call.
 */
export class SQLiteSaver extends IncrementalSaver {
  readonly #options: SQLiteSaverOptions;
  #database: SqliteDatabase | undefined;
  #opening: Promise<SqliteDatabase> | undefined;
  #release: (() => Promise<void>) | undefined;
  #closed = false;

  constructor(options: SQLiteSaverOptions) {
    super();
    requireOptions(options, 'an object with the path of a file');
    if ('path' in options && (typeof options.path !== 'string' || options.path === '')) {
      throw new InvalidOptionError('path', 'the path of a file', options.path);
    }
    this.#options = options;
  }

  /** Resolves when all writes are on disk. The file is closed unless somebody else holds it. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => undefined);
    await this.#release?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  protected override async read<T>(look: (rows: CheckpointRows) => T): Promise<T> {
    const database = this.#openDatabase() ?? (await this.#open());
    return database.readSnapshot((connection) => look(new SqliteRows(connection)));
  }

  protected override write<T>(change: (rows: CheckpointRows) => T): Promise<T> {
    const operation = (connection: SqliteConnection) => change(new SqliteRows(connection));
    return this.#openDatabase()?.write(operation) ?? this.#open().then((opened) => opened.write(operation));
  }

  /** The database where it is open already: then nobody waits for a promise of it. */
  #openDatabase(): SqliteDatabase | undefined {
    if (this.#closed) throw new ClosedError('the SQLiteSaver');
    return this.#database;
  }

  #open(): Promise<SqliteDatabase> {
    this.#opening ??= this.#openOnce().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #openOnce(): Promise<SqliteDatabase> {
    const options = this.#options;
    if ('path' in options) {
      const own = SqliteDatabase.open(options.path, { components: [CHECKPOINT_COMPONENT] });
      this.#release = () => own.close();
      this.#database = own;
      return own;
    }
    const shared = typeof options.database === 'function' ? options.database() : options.database;
    this.#release ??= shared.retain();
    await shared.install(CHECKPOINT_COMPONENT);
    this.#database = shared;
    return shared;
  }
}
