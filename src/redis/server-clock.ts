import { type Clock, systemClock } from '../clock.ts';

/** Answers that took longer tell the time too vaguely to correct a clock that was set by a quicker one. */
const DRIFT_MS_MAX = 5;

/**
 * The time by Redis, on this machine's monotonic clock: a wall clock that jumps changes nothing. Until Redis
 * was first heard the wall clock at the start stands in.
 */
export class ServerClock implements Clock {
  /** What is added to the monotonic clock. */
  #offset = Date.now() - performance.now();
  #isSet = false;

  now(): number {
    return Math.floor(performance.now() + this.#offset);
  }

  setTimeout(callback: () => void, ms: number): unknown {
    return systemClock.setTimeout(callback, ms);
  }

  clearTimeout(handle: unknown): void {
    systemClock.clearTimeout(handle);
  }

  holdProcess(): () => void {
    return systemClock.holdProcess!();
  }

  /** Takes in what Redis said the time was, some time after `askedAt` (by `performance.now()`). */
  learn(serverMs: number, askedAt: number): void {
    const heardAt = performance.now();
    const offset = serverMs - (askedAt + heardAt) / 2;
    const doubt = (heardAt - askedAt) / 2 + DRIFT_MS_MAX;
    if (this.#isSet && Math.abs(offset - this.#offset) <= doubt) return;
    this.#isSet = true;
    this.#offset = offset;
  }
}
