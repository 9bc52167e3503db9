import type { Clock } from '../clock.ts';

/** Where something falls due all the time it is looked this often, ms. */
const LOOK_MS_MIN = 50;

/** Calls `ring` when something falls due. One timer, for the earliest; stops for good with `stop`. */
export class AlarmClock {
  readonly #clock: Clock;
  readonly #ring: () => Promise<number | null>;
  readonly #onError: (error: unknown) => void;
  #armed: { readonly at: number; readonly timer: unknown } | null = null;
  #ringing: Promise<void> | null = null;
  #rangAt = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  /** `ring` tells when it wants to be called next, if at all; that may be too early. */
  constructor(clock: Clock, ring: () => Promise<number | null>, onError: (error: unknown) => void) {
    this.#clock = clock;
    this.#ring = ring;
    this.#onError = onError;
  }

  /** Rings at `at`, ms since the epoch, unless something earlier is set. */
  set(at: number): void {
    if (this.#isStopped || (this.#armed && this.#armed.at <= at)) return;
    if (this.#armed) this.#clock.clearTimeout(this.#armed.timer);
    const now = this.#clock.now();
    // A clock set back must not silence it.
    const restMs = Math.min(Math.max(0, this.#rangAt + LOOK_MS_MIN - now), LOOK_MS_MIN);
    const timer = this.#clock.setTimeout(
      () => {
        this.#armed = null;
        void this.ringNow();
      },
      Math.max(at - now, restMs),
    );
    this.#armed = { at, timer };
  }

  ringNow(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#ringing ??= this.#ringOnce();
    return this.#ringing;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#armed) this.#clock.clearTimeout(this.#armed.timer);
    this.#armed = null;
    await this.#ringing;
  }

  async #ringOnce(): Promise<void> {
    this.#rangAt = this.#clock.now();
    try {
      const next = await this.#ring();
      if (next !== null) this.set(next);
    } catch (error) {
      this.#onError(error);
    } finally {
      this.#ringing = null;
    }
  }
}
