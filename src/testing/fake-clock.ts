import type { Clock } from '../clock.ts';

interface Timer {
  readonly dueAt: number;
  readonly callback: () => void;
}

/** How many turns of the event loop `advance` gives to promises, commits and their consequences. */
const TURNS_DEFAULT = 6;

/** An arbitrary fixed time, a full minute: 2023-11-14T22:13:00Z. */
export const FAKE_NOW = 1_699_999_980_000;

/**
 * A clock that moves only when told to. Timers set on it fire inside `advance`, in the order in which they
 * fall due; between two timers the event loop turns, so that what one timer started can finish first.
 */
export class FakeClock implements Clock {
  #now: number;
  #elapsed = 0;
  readonly #turns: number;
  readonly #turn: () => Promise<unknown>;
  #nextHandle = 1;
  readonly #timers = new Map<number, Timer>();

  /**
   * `turns` is how often the event loop turns after each timer; more helps slow stores. `turn` is what one turn
   * is: with a server also the time it takes to answer.
   */
  constructor(
    now: number = FAKE_NOW,
    turns: number = TURNS_DEFAULT,
    turn: () => Promise<unknown> = turnOfEventLoop,
  ) {
    this.#now = now;
    this.#turns = turns;
    this.#turn = turn;
  }

  now(): number {
    return this.#now;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  /** Sets the time of day to another one. No time passes: timers and `elapsed` take no notice. */
  jump(ms: number): void {
    this.#now += ms;
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const handle = this.#nextHandle++;
    this.#timers.set(handle, { dueAt: this.#elapsed + Math.max(0, ms), callback });
    return handle;
  }

  clearTimeout(handle: unknown): void {
    if (typeof handle === 'number') this.#timers.delete(handle);
  }

  /** Timers that are set and have not fired: 0 after everything was closed, or something leaks. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Moves time on by `ms`, firing what falls due on the way at its own time. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    await this.settle();
    for (let next = this.#earliest(end); next !== null; next = this.#earliest(end)) {
      const timer = this.#timers.get(next)!;
      this.#timers.delete(next);
      this.#pass(timer.dueAt);
      timer.callback();
      await this.settle();
    }
    this.#pass(end);
    await this.settle();
  }

  /** Lets the event loop turn without moving time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < this.#turns; turn++) await this.#turn();
  }

  #pass(until: number): void {
    const ms = Math.max(0, until - this.#elapsed);
    this.#elapsed += ms;
    this.#now += ms;
  }

  /** The timer that fires first among those due by `end`; ties go by the order in which they were set. */
  #earliest(end: number): number | null {
    let best: number | null = null;
    let bestDueAt = Infinity;
    for (const [handle, timer] of this.#timers) {
      if (timer.dueAt <= end && timer.dueAt < bestDueAt) {
        best = handle;
        bestDueAt = timer.dueAt;
      }
    }
    return best;
  }
}

function turnOfEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
