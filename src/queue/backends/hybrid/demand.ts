/** How finely the last claims are counted. */
const BUCKETS = 10;

export interface DemandOptions {
  readonly tasksMin: number;
  readonly tasksMax: number;
  readonly bytesMax: number;
  /** Tasks are held ahead for about this long. */
  readonly aheadMs: number;
}

/** Below this many claims within `aheadMs` each one may well ask the store itself. */
const CLAIMS_MIN = 16;

/** How many tasks to hold ahead: as many as were claimed in the last `aheadMs`, so that none waits here much longer. */
export class Demand {
  readonly #options: DemandOptions;
  readonly #bucketMs: number;
  readonly #claims = new Array<number>(BUCKETS).fill(0);
  #bucket = 0;
  #total = 0;

  constructor(options: DemandOptions) {
    this.#options = options;
    this.#bucketMs = options.aheadMs / BUCKETS;
  }

  get aheadMs(): number {
    return this.#options.aheadMs;
  }

  get tasksMin(): number {
    return this.#options.tasksMin;
  }

  claimed(tasks: number, at: number): void {
    this.#turnTo(at);
    this.#claims[this.#bucket % BUCKETS]! += tasks;
    this.#total += tasks;
  }

  isIdle(at: number): boolean {
    this.#turnTo(at);
    return this.#total === 0;
  }

  /** The most that may be held now, in tasks. */
  window(at: number): number {
    this.#turnTo(at);
    const { tasksMin, tasksMax } = this.#options;
    const wanted = this.#total < CLAIMS_MIN ? 0 : this.#total;
    return Math.min(tasksMax, Math.max(tasksMin, wanted));
  }

  /** How many more tasks there is room for. */
  room(held: { readonly size: number; readonly bytes: number }, at: number): number {
    const tasks = this.window(at) - held.size;
    if (held.size === 0) return Math.max(0, tasks);
    const fit = Math.floor((this.#options.bytesMax - held.bytes) / (held.bytes / held.size));
    return Math.max(0, Math.min(tasks, fit));
  }

  /** How many of the held tasks are too many, by number or by bytes. A quarter too many is left alone. */
  excess(held: { readonly size: number; readonly bytes: number }, at: number): number {
    const fit =
      held.bytes > this.#options.bytesMax ? held.size * (this.#options.bytesMax / held.bytes) : held.size;
    const most = Math.min(Math.floor(fit), this.window(at));
    return held.size > most * 1.25 ? held.size - most : 0;
  }

  #turnTo(at: number): void {
    const bucket = Math.floor(at / this.#bucketMs);
    if (bucket === this.#bucket) return;
    const turns = bucket > this.#bucket ? Math.min(BUCKETS, bucket - this.#bucket) : BUCKETS;
    for (let i = 1; i <= turns; i++) {
      const index = (this.#bucket + i) % BUCKETS;
      this.#total -= this.#claims[index]!;
      this.#claims[index] = 0;
    }
    this.#bucket = bucket;
  }
}
