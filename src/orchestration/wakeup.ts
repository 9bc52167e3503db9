import type { Clock } from '../clock.ts';

/** Lets a loop sleep until somebody has news for it, or a time has passed. News while it is busy is kept. */
export class Wakeup {
  readonly #clock: Clock;
  #wake: (() => void) | undefined;
  #isDue = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  notify(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  async wait(ms: number): Promise<void> {
    if (!this.#isDue) await this.#sleep(ms);
    this.#isDue = false;
    this.#wake = undefined;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const timer = ms === Infinity ? undefined : this.#clock.setTimeout(resolve, ms);
      this.#wake = () => {
        if (timer !== undefined) this.#clock.clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A bounded wait for a promise: false when the time ran out first. */
export function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.setTimeout(() => resolve(false), ms);
    const done = () => {
      clock.clearTimeout(timer);
      resolve(true);
    };
    work.then(done, done);
  });
}
