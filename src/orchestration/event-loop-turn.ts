/** Longest stretch of promises without a turn of the event loop, ms: what timers, signals and heartbeats may be late by. */
const BUDGET_MS = 10;

interface Stretch {
  readonly since: number;
  readonly end: Promise<void>;
}

/**
 * Gives timers, signals and sockets their turn. Claims, runs and settlements of a store in memory go on from
 * promise to promise, and the event loop turns only where nobody has another promise ready. It measures real
 * time, never the injected clock: what it is about is this thread.
 */
export class EventLoopTurn {
  /** Since the event loop last turned, as far as anybody asked. */
  #stretch: Stretch | undefined;

  /** undefined while the budget lasts; after that the end of the stretch, the same for all who ask. */
  due(): Promise<void> | undefined {
    const now = performance.now();
    this.#stretch ??= { since: now, end: this.#nextTurn() };
    return now - this.#stretch.since >= BUDGET_MS ? this.#stretch.end : undefined;
  }

  #nextTurn(): Promise<void> {
    return new Promise<void>((resolve) => {
      setImmediate(() => {
        this.#stretch = undefined;
        resolve();
      });
    });
  }
}
