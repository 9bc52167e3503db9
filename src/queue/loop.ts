import type { Clock } from '../clock.ts';

/**
 * Runs a task again and again, `everyMs` after it last ended, whatever happened: an error is handed to
 * `onError` and the loop goes on. A background loop that dies stays dead unnoticed.
 */
export class Loop {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #run: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #timer: unknown = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(clock: Clock, everyMs: number, run: () => Promise<void>, onError: (error: unknown) => void) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#run = run;
    this.#onError = onError;
  }

  start(): void {
    if (this.#timer !== null || this.#running || this.#stopped) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = null;
      void this.runNow();
    }, this.#everyMs);
  }

  /** Runs at once unless it is running already; resolves when that run has ended. */
  runNow(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#running ??= this.#runOnce();
    return this.#running;
  }

  /** No further run begins; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    await this.#running;
  }

  async #runOnce(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      this.#onError(error);
    } finally {
      this.#running = null;
      if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
      this.#timer = null;
      this.start();
    }
  }
}
