import { type Clock, systemClock } from '../../src/clock.ts';

interface Timer {
  readonly callback: () => void;
  readonly dueAt: number;
  handle: unknown;
}

/** Wall time that can be put forward: what falls due on the way does so at once, whatever runs goes on. */
export class JumpingClock implements Clock {
  readonly #timers = new Set<Timer>();
  #aheadMs = 0;

  now(): number {
    return Date.now() + this.#aheadMs;
  }

  setTimeout(callback: () => void, ms: number): Timer {
    const timer: Timer = { callback, dueAt: this.now() + ms, handle: undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    if (!this.#timers.delete(timer as Timer)) return;
    systemClock.clearTimeout((timer as Timer).handle);
  }

  holdProcess(): () => void {
    return systemClock.holdProcess?.() ?? (() => {});
  }

  jump(ms: number): void {
    this.#aheadMs += ms;
    for (const timer of this.#timers) {
      systemClock.clearTimeout(timer.handle);
      this.#arm(timer);
    }
  }

  #arm(timer: Timer): void {
    const ring = () => {
      if (this.#timers.delete(timer)) timer.callback();
    };
    timer.handle = systemClock.setTimeout(ring, Math.max(0, timer.dueAt - this.now()));
  }
}
