import type { Clock } from '../clock.ts';
import type { TaskStore } from './task-store.ts';

/** Hints come as often as others write. The first is acted on at once, more of them this often. */
const REACT_MS = 25;

/** That there is a new task is passed on this often: who is idle asks for it, and nothing else is looked after. */
const NEWS_MS = 5;

/** The safety net where a hint was lost. */
export const POLL_MS = 1_000;

export interface WatchedStore {
  /** Something may have changed. */
  readonly onHint: () => Promise<void>;
  /** A delayed task has fallen due, or a new one is there. */
  readonly onReady: () => void;
  readonly onError: (error: unknown) => void;
  /** Something has fallen due: perhaps not a task, but the alarm of one. */
  readonly onAlarm?: () => void;
}

/** Turns a store's hints, and the due times of delayed tasks, into calls. Costs nothing until started. */
export class StoreWatch {
  readonly #store: TaskStore;
  readonly #clock: Clock;
  readonly #watched: WatchedStore;
  #unwatch: (() => void) | null = null;
  #reaction: unknown = null;
  #reactedAt = Number.NEGATIVE_INFINITY;
  #newsAt = Number.NEGATIVE_INFINITY;
  #poll: unknown = null;
  #due: { readonly at: number; readonly timer: unknown } | null = null;

  constructor(store: TaskStore, clock: Clock, watched: WatchedStore) {
    this.#store = store;
    this.#clock = clock;
    this.#watched = watched;
  }

  start(): void {
    if (this.#unwatch) return;
    this.#unwatch = this.#store.watch((isNew = false) => this.#hint(isNew));
    this.#armPoll();
    void this.refreshDue();
  }

  stop(): void {
    this.#unwatch?.();
    this.#unwatch = null;
    for (const timer of [this.#reaction, this.#poll, this.#due?.timer]) {
      if (timer !== null && timer !== undefined) this.#clock.clearTimeout(timer);
    }
    this.#reaction = null;
    this.#poll = null;
    this.#due = null;
  }

  /** Wakes at `runAt`, unless something earlier is armed. */
  armDue(runAt: number): void {
    if (!this.#unwatch || (this.#due && this.#due.at <= runAt)) return;
    if (this.#due) this.#clock.clearTimeout(this.#due.timer);
    // Node fires timers beyond 2^31 ms at once; waking early and looking again is harmless.
    const ms = Math.min(Math.max(0, runAt - this.#clock.now()), 2 ** 31 - 1);
    const timer = this.#clock.setTimeout(() => {
      this.#due = null;
      this.#watched.onReady();
      void this.refreshDue();
      this.#watched.onAlarm?.();
    }, ms);
    this.#due = { at: runAt, timer };
  }

  async refreshDue(): Promise<void> {
    if (!this.#unwatch) return;
    try {
      const now = this.#clock.now();
      const { nextDueAt: next } = await this.#store.outlook(now);
      // What is due and still there is being seen to.
      if (next !== null) this.armDue(next > now ? next : now + REACT_MS);
    } catch (error) {
      this.#watched.onError(error);
    }
  }

  #hint(isNew: boolean): void {
    const now = this.#clock.now();
    if (this.#reaction === null) {
      const wait = this.#reactedAt + REACT_MS - now;
      // A clock set back must not silence hints, hence the upper bound.
      if (wait <= 0 || wait > REACT_MS) {
        this.#react();
        return;
      }
      this.#reaction = this.#clock.setTimeout(() => this.#react(), wait);
    }
    if (!isNew || Math.abs(now - this.#newsAt) < NEWS_MS) return;
    this.#newsAt = now;
    this.#watched.onReady();
  }

  #react(): void {
    this.#reaction = null;
    this.#reactedAt = this.#clock.now();
    this.#watched.onHint().catch((error: unknown) => this.#watched.onError(error));
    // Who was woken claims first: this question would go before the claim on the same connection.
    setImmediate(() => void this.refreshDue());
  }

  #armPoll(): void {
    this.#poll = this.#clock.setTimeout(() => {
      this.#react();
      if (this.#unwatch) this.#armPoll();
    }, this.#store.pollMs ?? POLL_MS);
  }
}
