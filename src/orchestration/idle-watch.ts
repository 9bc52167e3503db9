import type { Clock } from '../clock.ts';

export interface IdleWatchOptions {
  readonly clock: Clock;
  readonly idleMs: number;
  /** When somebody last noted progress of the task, in whichever process; ms since the epoch. */
  readonly progressAt: () => Promise<number | undefined>;
  readonly onIdle: () => void;
}

/** Tells when a run has shown no sign of life for too long. A sign costs nothing: the timer looks back when it fires. */
export class IdleWatch {
  readonly #options: IdleWatchOptions;
  #aliveAt: number;
  #timer: unknown;
  #isStopped = false;

  constructor(options: IdleWatchOptions) {
    this.#options = options;
    this.#aliveAt = options.clock.now();
    this.#arm();
  }

  /** A sign of life. */
  readonly touch = (): void => {
    this.#aliveAt = this.#options.clock.now();
  };

  stop(): void {
    this.#isStopped = true;
    this.#options.clock.clearTimeout(this.#timer);
  }

  #arm(): void {
    const { clock, idleMs } = this.#options;
    const leftMs = Math.max(0, this.#aliveAt + idleMs - clock.now());
    this.#timer = clock.setTimeout(() => void this.#look(), leftMs);
  }

  async #look(): Promise<void> {
    const { clock, progressAt, onIdle } = this.#options;
    if (this.#isQuiet()) {
      // While the store is away nobody can note progress there; then it is the lease that ends the run.
      const noted = await progressAt().catch(() => clock.now());
      this.#aliveAt = Math.max(this.#aliveAt, noted ?? 0);
    }
    if (this.#isStopped) return;
    if (this.#isQuiet()) onIdle();
    else this.#arm();
  }

  #isQuiet(): boolean {
    const { clock, idleMs } = this.#options;
    return clock.now() - this.#aliveAt >= idleMs;
  }
}
