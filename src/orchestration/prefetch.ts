/** Claims run this far ahead at most; about what one commit can carry without holding up the event loop. */
const PREFETCH_TASKS_MAX = 100;
/** Runs shorter than this on average are claimed ahead, ms: a durable commit alone takes 0.2–1 ms. */
const PREFETCH_RUN_MS = 2;
/** How many runs the average looks back, and how many it needs before it counts. */
const AVERAGE_RUNS = 50;
const RUNS_NEEDED = 10;

/**
 * How far claims run ahead of the free slots. Each start is stored before its run, so that a crash can be
 * charged; at one commit a start, runs of less than a commit would wait for the disk most of the time. Then,
 * and only then, the next starts are stored together. One long run ends it at once.
 */
export class Prefetch {
  readonly #fixed: number | undefined;
  #averageMs = PREFETCH_RUN_MS;
  #runs = 0;

  constructor(prefetch: number | 'auto') {
    this.#fixed = prefetch === 'auto' ? undefined : prefetch;
  }

  get tasks(): number {
    if (this.#fixed !== undefined) return this.#fixed;
    return this.#runs >= RUNS_NEEDED && this.#averageMs < PREFETCH_RUN_MS ? PREFETCH_TASKS_MAX : 0;
  }

  ran(ms: number): void {
    this.#runs++;
    this.#averageMs += (Math.max(0, ms) - this.#averageMs) / Math.min(this.#runs, AVERAGE_RUNS);
    // An average of many short runs would hide that the agent has begun to work.
    if (ms > AVERAGE_RUNS * PREFETCH_RUN_MS) this.#runs = 0;
  }
}
