import type { Clock } from '../clock.ts';

const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 5_000;

export interface LoopStatus {
  /** ms since the epoch; undefined before the first success. */
  readonly lastSuccessAt: number | undefined;
  /** Errors since the start. */
  readonly errors: number;
  /** Errors since the last success. */
  readonly errorsInARow: number;
  readonly lastError: string | undefined;
}

/** How a background loop is doing, and how long it waits after an error. */
export class LoopHealth {
  readonly #clock: Clock;
  readonly #random: () => number;
  #lastSuccessAt: number | undefined;
  #errors = 0;
  #errorsInARow = 0;
  #lastError: string | undefined;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  succeeded(): void {
    this.#lastSuccessAt = this.#clock.now();
    this.#errorsInARow = 0;
  }

  /** Returns how long to wait before the next try: exponential, with full jitter over its upper half. */
  failed(error: unknown): number {
    this.#errors += 1;
    this.#errorsInARow += 1;
    this.#lastError = error instanceof Error ? error.message : String(error);
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#errorsInARow - 1, 16));
    return ceiling * (0.5 + this.#random() / 2);
  }

  get status(): LoopStatus {
    return {
      lastSuccessAt: this.#lastSuccessAt,
      errors: this.#errors,
      errorsInARow: this.#errorsInARow,
      lastError: this.#lastError,
    };
  }
}
