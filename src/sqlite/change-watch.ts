import type { Clock } from '../clock.ts';
import type { SqliteConnection } from './connection.ts';

/** How often another process's commits are looked for. One look costs about 3 µs. */
const WATCH_INTERVAL_MS = 20;

/**
 * Tells of commits by other processes. `PRAGMA data_version` changes with each
 * of them and never with our own; reading it touches shared memory, not the disk.
 * Runs only while somebody listens.
 */
export class ChangeWatch {
  readonly #connection: SqliteConnection;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #timer: unknown;
  #seen: unknown;

  constructor(connection: SqliteConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Calls `listener` after each change by another process; the result ends that. */
  add(listener: () => void): () => void {
    // Wrapped, so that the same function added twice is two listeners.
    const entry = (): void => listener();
    this.#listeners.add(entry);
    if (this.#timer === undefined) {
      this.#seen = this.#version();
      this.#arm();
    }
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) this.#disarm();
    };
  }

  stop(): void {
    this.#listeners.clear();
    this.#disarm();
  }

  #arm(): void {
    this.#timer = this.#clock.setTimeout(this.#look, WATCH_INTERVAL_MS);
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The timer is set again first: nothing that fails here may end the watch. */
  readonly #look = (): void => {
    this.#arm();
    const version = this.#version();
    if (version === undefined || version === this.#seen) return;
    this.#seen = version;
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch {
        // The call is only a hint; whoever missed it finds the change by looking.
      }
    }
  };

  /** Undefined while the file cannot be read: the next look decides. */
  #version(): unknown {
    try {
      return this.#connection.prepareValue('PRAGMA data_version').get();
    } catch {
      return undefined;
    }
  }
}
