import { type Clock, systemClock } from '../clock.ts';

/**
 * The time by Redis, on this machine's monotonic clock: a wall clock that jumps changes nothing. Until Redis
 * was first heard the wall clock at the start stands in. It may be behind Redis by the time an answer takes, and is
 * never ahead: whoever is woken when something falls due finds it due in Redis too.
 */
export class ServerClock implements Clock {
  /** What is added to the monotonic clock. */
  #offset = Date.now() - performance.now();
  #isSet = false;

  now(): number {
    return Math.floor(performance.now() + this.#offset);
  }

  setTimeout(callback: () => void, ms: number): unknown {
    // Node counts whole ms, so that a timer may end up to one early.
    return systemClock.setTimeout(callback, ms + 1);
  }

  clearTimeout(handle: unknown): void {
    systemClock.clearTimeout(handle);
  }

  holdProcess(): () => void {
    return systemClock.holdProcess!();
  }

  /**
   * Takes in what Redis said the time was, some time between `askedAt` (by `performance.now()`) and now. Where that
   * agrees with what is known, the quickest answer so far has told best.
   */
  learn(serverMs: number, askedAt: number): void {
    const least = serverMs - performance.now();
    const most = serverMs + 1 - askedAt;
    if (this.#isSet && this.#offset >= least && this.#offset <= most) return;
    this.#isSet = true;
    this.#offset = least;
  }
}
