import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { ServerClock } from '../../../redis/server-clock.ts';
import { release } from '../../moves.ts';
import type { Applied, Claim, InsertOutcome, TaskRecord } from '../../task-store.ts';
import type { Application } from './applications.ts';
import type { Batcher } from './batcher.ts';
import { Grants, isGrantable } from './grants.ts';
import { type Insertion, sendInsertions } from './insertions.ts';
import type { KnownTasks } from './known-tasks.ts';
import type { RedisTaskReader } from './redis-task-reader.ts';
import type { ScriptRunner } from './script-runner.ts';
import { Standby } from './standby.ts';
import type { StoreSignal } from './store-signal.ts';

export interface RelayOptions {
  readonly connection: RedisConnection;
  readonly scripts: ScriptRunner;
  readonly reader: RedisTaskReader;
  readonly signal: StoreSignal;
  readonly known: KnownTasks;
  readonly time: ServerClock;
  readonly changes: Batcher<Application, (Applied | null)[]>;
  /** Whether no claim goes with a submission that is sent now. */
  readonly isAlone: () => boolean;
}

/**
 * Hands tasks over between processes in one call, where `HandOver` does it within one: the submitter's side is
 * `Grants`, the worker's is `Standby`.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #grants: Grants;
  readonly #standby: Standby;

  constructor(options: RelayOptions) {
    this.#options = options;
    const { connection, scripts, reader, signal, time, isAlone } = options;
    const giveBack = (record: TaskRecord) => this.#giveBack(record);
    this.#grants = new Grants({ scripts, giveBack, isAlone, read: (ids) => reader.read(ids) });
    this.#standby = new Standby({
      connection,
      scripts,
      giveBack,
      now: () => time.now(),
      wake: () => signal.hint(),
      read: async (id) => (await reader.read([id])).get(id) ?? null,
    });
  }

  /** Somebody waits, until the returned function is called, which calls `unwatch`. */
  watch(unwatch: () => void): () => void {
    this.#standby.turn(true);
    return () => {
      unwatch();
      if (!this.#options.signal.isWatched) this.#standby.turn(false);
    };
  }

  async insert(items: readonly Insertion[], slot: number): Promise<InsertOutcome[]> {
    const [first] = items;
    return items.length === 1 && isGrantable(first!)
      ? [await this.#grants.send(first!, slot)]
      : sendInsertions(this.#options.scripts, items, slot);
  }

  /** What was granted for this very claim. */
  take(claim: Claim): TaskRecord | undefined {
    const granted = this.#standby.take(claim);
    if (granted) this.#options.known.put(granted);
    return granted;
  }

  claimed(claim: Claim, records: readonly TaskRecord[]): void {
    if (this.#standby.isOn) this.#standby.claimed(claim, records);
  }

  changed(items: readonly Application[]): void {
    if (this.#standby.isOn) for (const { changes } of items) this.#standby.changed(changes);
  }

  async close(): Promise<void> {
    this.#grants.close();
    await this.#standby.close();
  }

  /** Releases a task that was granted to a store object which did not take it up; what was done to it since stays. */
  async #giveBack(record: TaskRecord): Promise<void> {
    const { known, time, changes, signal } = this.#options;
    const now = time.now();
    known.put(record);
    await changes.ask({ changes: [release(record, undefined, 'not taken up', now)], now });
    signal.hint();
  }
}
