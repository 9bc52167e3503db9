/** The longest interval a timer takes, ms. It never matters: the timer does nothing. */
const FOREVER_MS = 2 ** 31 - 1;

/**
 * Keeps the process running while somebody waits for something. Jotty's own timers never do; without this a
 * process that only awaits a result would end in the middle of it.
 */
export class KeepAlive {
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Ends with the function returned; calling that again changes nothing. */
  hold(): () => void {
    this.#holders += 1;
    this.#timer ??= setInterval(() => {}, FOREVER_MS);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#release();
    };
  }

  async during<T>(work: Promise<T>): Promise<T> {
    const release = this.hold();
    try {
      return await work;
    } finally {
      release();
    }
  }

  #release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
