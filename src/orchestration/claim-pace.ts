import type { VirtualClock } from './virtual-clock.ts';

/**
 * How fast a process claims: by each moment as many tasks as it had claimed then. Which they are, and who runs them,
 * is the scheduler's business. After `end` it claims whatever there is.
 */
export class ClaimPace {
  readonly #clock: VirtualClock;
  readonly #moments: readonly number[];
  readonly #end: number;
  #left = 0;

  constructor(clock: VirtualClock, moments: readonly number[], end: number) {
    this.#clock = clock;
    this.#moments = moments;
    this.#end = end;
  }

  /** `wake` is called at each moment. */
  start(wake: () => void): void {
    this.#next(0, wake);
  }

  /** Makes a claim of up to `limit` tasks, or of as many as there may be. */
  async claim<T>(limit: number, claim: (limit: number) => Promise<T[]>): Promise<T[]> {
    if (this.#clock.moment > this.#end) return claim(limit);
    const asked = Math.min(limit, this.#left);
    if (asked <= 0) return [];
    this.#left -= asked;
    const claimed = await claim(asked);
    this.#left += asked - claimed.length;
    return claimed;
  }

  #next(i: number, wake: () => void): void {
    const { [i]: moment = this.#end + 1 } = this.#moments;
    const ring = () => {
      this.#left += 1;
      wake();
      if (i < this.#moments.length) this.#next(i + 1, wake);
    };
    this.#clock.setTimeout(ring, moment - this.#clock.now());
  }
}
