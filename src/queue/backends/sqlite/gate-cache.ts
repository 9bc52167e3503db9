import type { SqliteConnection } from '../../../sqlite/connection.ts';
import type { StoredGate } from './gate-rows.ts';

/** About 3 MB; beyond, all are read again. */
const GATES_KEPT_MAX = 10_000;

/**
 * Gates as this process has last read or written them, which is how they are stored as long as nobody else has
 * committed since. Reading and writing them is most of what a limit costs where tasks name many keys.
 */
export class GateCache {
  readonly #gates = new Map<string, StoredGate>();
  #version: unknown;

  /** Called inside a transaction, before anything else: what others have written meanwhile counts. */
  begin(connection: SqliteConnection): void {
    const version = connection.prepareValue('PRAGMA data_version').get();
    if (version === this.#version) return;
    this.#version = version;
    this.#gates.clear();
  }

  get(key: string): StoredGate | undefined {
    return this.#gates.get(key);
  }

  put(stored: StoredGate): void {
    if (this.#gates.size >= GATES_KEPT_MAX) this.#gates.clear();
    this.#gates.set(stored.gate.key, stored);
  }

  delete(key: string): void {
    this.#gates.delete(key);
  }

  /** A transaction was taken back, or may have been. */
  clear(): void {
    this.#gates.clear();
  }
}
