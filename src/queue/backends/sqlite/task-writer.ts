import type { SqliteDatabase } from '../../../sqlite/sqlite-database.ts';
import { isStorageError } from '../../../sqlite/sqlite-errors.ts';
import { GateCache } from './gate-cache.ts';
import { QueueTransaction } from './queue-transaction.ts';

/** So many tasks go into one write operation: about 10 ms, half of what one flush may take. */
const BATCH_TASKS_MAX = 1_000;

export type QueueOperation<T> = (tx: QueueTransaction) => T;

interface Entry {
  readonly run: QueueOperation<unknown>;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

interface Batch {
  readonly entries: Entry[];
  tasks: number;
}

/**
 * Collects what is asked for in one turn of the event loop into one operation of the shared commit, so that
 * the counters are read and written once for all of it. Order is kept.
 */
export class TaskWriter {
  readonly #database: () => SqliteDatabase;
  readonly #gates = new GateCache();
  #open: Batch | undefined;

  constructor(database: () => SqliteDatabase) {
    this.#database = database;
  }

  /** `tasks` is how many tasks the operation touches. */
  write<T>(tasks: number, run: QueueOperation<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const batch = this.#open ?? { entries: [], tasks: 0 };
      batch.entries.push({ run, resolve, reject });
      batch.tasks += tasks;
      if (this.#open === undefined) {
        this.#open = batch;
        void this.#commit(batch);
      }
      if (batch.tasks >= BATCH_TASKS_MAX) this.#close(batch);
    });
  }

  /** A large operation as one transaction over several turns of the loop. */
  writeSliced<T>(run: (tx: QueueTransaction) => Generator<unknown, T, undefined>): Promise<T> {
    if (this.#open) this.#close(this.#open);
    const gates = this.#gates;
    const written = this.#database().writeSliced(function* (connection) {
      const tx = new QueueTransaction(connection, gates);
      const outcome = yield* run(tx);
      tx.finish();
      return outcome;
    });
    written.catch(() => gates.clear());
    return written;
  }

  #close(batch: Batch): void {
    if (this.#open === batch) this.#open = undefined;
  }

  async #commit(batch: Batch): Promise<void> {
    const { entries } = batch;
    try {
      const outcomes = await this.#database().write((connection) => {
        this.#close(batch);
        const tx = new QueueTransaction(connection, this.#gates);
        const all = entries.map((entry) => attempt(tx, entry.run));
        tx.finish();
        return all;
      });
      entries.forEach((entry, i) => {
        settle(entry, outcomes[i]!);
      });
    } catch (error) {
      this.#close(batch);
      // Nothing of it is stored, whatever the gates say that were written.
      this.#gates.clear();
      for (const entry of entries) entry.reject(error);
    }
  }
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/**
 * An operation that throws fails alone: it writes nothing before that, or takes it back. Savepoints would do
 * that for it, but keep a copy of every page changed, which doubles the cost of a large insert. An error of
 * the storage itself fails, and rolls back, everything.
 */
function attempt(tx: QueueTransaction, run: QueueOperation<unknown>): Outcome {
  try {
    return { value: run(tx) };
  } catch (error) {
    if (isStorageError(error)) throw error;
    return { error };
  }
}

function settle(entry: Entry, outcome: Outcome): void {
  if ('error' in outcome) entry.reject(outcome.error);
  else entry.resolve(outcome.value as never);
}
