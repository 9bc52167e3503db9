import type { Clock } from '../clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Turns of the event loop after each moment, so that what it set going has come to rest. */
const TURNS = 2;

/** Time that jumps from one timer to the next: hours of a queue in seconds, the same each time. */
export class VirtualClock implements Clock {
  #now: number;
  #next = 1;
  readonly #timers = new Map<number, Timer>();
  /** Times of the timers, each with its handles in the order they were set. */
  readonly #byTime = new Map<number, Set<number>>();

  constructor(now: number) {
    this.#now = now;
  }

  /** Whole ms: half ones are for what comes last in its moment. */
  now(): number {
    return Math.floor(this.#now);
  }

  /** As `now`, with what is less than a ms. */
  get moment(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const handle = this.#next++;
    const at = this.now() + Math.max(0, ms);
    this.#timers.set(handle, { at, callback });
    const handles = this.#byTime.get(at);
    if (handles === undefined) this.#byTime.set(at, new Set([handle]));
    else handles.add(handle);
    return handle;
  }

  clearTimeout(handle: unknown): void {
    const timer = this.#timers.get(handle as number);
    if (timer === undefined) return;
    this.#timers.delete(handle as number);
    const handles = this.#byTime.get(timer.at)!;
    handles.delete(handle as number);
    if (handles.size === 0) this.#byTime.delete(timer.at);
  }

  /** Moves on from timer to timer until `isOver`, or until there is none left before `end`. */
  async run(end: number, isOver: () => boolean): Promise<void> {
    await settled();
    while (!isOver()) {
      const at = this.#earliest();
      if (at > end) return;
      this.#now = Math.max(this.#now, at);
      const [handle] = this.#byTime.get(at)!;
      const { callback } = this.#timers.get(handle!)!;
      this.clearTimeout(handle);
      callback();
      await settled();
    }
  }

  #earliest(): number {
    let earliest = Infinity;
    for (const at of this.#byTime.keys()) if (at < earliest) earliest = at;
    return earliest;
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
