import { systemClock } from '../../../clock.ts';
import { InvalidOptionError } from '../../../errors.ts';
import { requireOptions } from '../../../options.ts';
import { SqliteDatabase } from '../../../sqlite/sqlite-database.ts';
import { StoredTaskQueue } from '../../stored-task-queue.ts';
import type { TaskQueueOptions } from '../../task-queue.ts';
import { SQLiteTaskStore, TASK_COMPONENT } from './sqlite-task-store.ts';

export interface SQLiteTaskQueueOptions extends TaskQueueOptions {
  /** The database file; made with its folders where there is none. Several processes may share it. */
  readonly path: string;
}

/**
 * A durable queue in one SQLite file: an acknowledged task is on disk (`synchronous=FULL`). The file is
 * opened by the first call, which throws StoreCorruptError for a damaged or foreign file, SchemaTooNewError
 * for one of a newer release, and MissingPackageError without better-sqlite3.
 */
export class SQLiteTaskQueue extends StoredTaskQueue {
  readonly #open: () => SqliteDatabase;
  #closeFile: () => Promise<void>;

  constructor(given: SQLiteTaskQueueOptions) {
    const { path, ...options } = requireOptions(given, 'an object with the path of a file');
    if (typeof path !== 'string' || path === '')
      throw new InvalidOptionError('path', 'the path of a file', path);
    let database: SqliteDatabase | undefined;
    const { clock, random } = options;
    const open = () => {
      database ??= SqliteDatabase.open(path, {
        components: [TASK_COMPONENT],
        ...(clock && { clock }),
        ...(random && { random }),
      });
      return database;
    };
    super(new SQLiteTaskStore(open, clock ?? systemClock), options);
    this.#open = open;
    this.#closeFile = async () => database?.close();
  }

  /** Copies the live file to `path`, consistent and synced. Throws InvalidOptionError where a file is there. */
  async backup(path: string): Promise<void> {
    await this.#open().backup(path);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#closeFile();
  }

  /** Checkpoints beside the tasks, in the same file: they share its commits, its backup and its purge. */
  protected override async makeCheckpointer(): Promise<unknown> {
    const { SQLiteSaver } = await import('../../../checkpoint/sqlite-saver.ts');
    const saver = new SQLiteSaver({ database: this.#open });
    const closeFile = this.#closeFile;
    this.#closeFile = async () => {
      await saver.close();
      await closeFile();
    };
    return saver;
  }
}
