/** Claims run this far ahead at most; about what one commit can carry without holding up the event loop. */
const PREFETCH_TASKS_MAX = 100;
/** Runs shorter than this on average are claimed ahead, ms: a durable commit alone takes 0.2–1 ms. */
const PREFETCH_RUN_MS = 2;
/** How many runs the average looks back, and how many it needs before it counts. */
const AVERAGE_RUNS = 50;
const RUNS_NEEDED = 10;
/** A run that has lasted longer than this is work, ms: nothing is to wait behind it. */
const LONG_RUN_MS = 50;
/** A task claimed ahead that has waited longer than this is for others to run, ms. */
const QUEUED_MS_MAX = 200;

/**
 * How far claims run ahead of the free slots. Each start is stored before its run, so that a crash can be
 * charged; at one commit a start, runs of less than a commit would wait for the disk most of the time. Then,
 * and only then, the next starts are stored together. One long run ends it at once: what was claimed ahead
 * is handed back, and RUNS_NEEDED short runs have to earn it anew.
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
    if (ms > LONG_RUN_MS) this.reset();
  }

  reset(): void {
    this.#runs = 0;
    this.#averageMs = PREFETCH_RUN_MS;
  }

  /** Whether tasks claimed ahead should wait no longer, by the longest run and the longest wait, ms. A fixed number is the app's own choice. */
  isTooLong(longestRunMs: number, longestWaitMs: number): boolean {
    return this.#fixed === undefined && (longestRunMs > LONG_RUN_MS || longestWaitMs > QUEUED_MS_MAX);
  }
}
