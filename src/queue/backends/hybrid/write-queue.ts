import type { Clock } from '../../../clock.ts';
import { ClosedError, StoreUnavailableError } from '../../../errors.ts';
import type { Applied, Change, TaskStore } from '../../task-store.ts';

/** What one call carries at most: small enough that the store works on one while the next is made. */
const BATCH_CHANGES_MAX = 512;
/** Bounds the memory while the store is away. */
const WAITING_CHANGES_MAX = 20_000;
/** Pauses between tries while the store is away; doubled up to the second. */
const RETRY_MS = 25;
const RETRY_MS_MAX = 500;

export interface Write {
  readonly change: Change;
  readonly now: number;
  /** Until then the store may be away, by the queue's clock; ms. */
  readonly patientUntil: number;
  /** Null where the store refused it. */
  readonly done: (applied: Applied | null) => void;
  readonly failed: (error: unknown) => void;
}

export interface WriteQueueOptions {
  readonly store: Pick<TaskStore, 'apply'>;
  readonly clock: Clock;
  /** Calls are begun this far apart at least; 0 begins the next when the last has returned. */
  readonly flushMs: number;
  readonly onAnswer: () => void;
  readonly onAway: () => void;
}

/**
 * Changes on their way into the store, in order: one call at a time carries all that has gathered. While the
 * store is away those with patience are kept, and written when it is back.
 */
export class WriteQueue {
  readonly #options: WriteQueueOptions;
  #waiting: Write[] = [];
  /** So many changes are written one by one. */
  #single = 0;
  #written = 0;
  #pushed = 0;
  #isRunning = false;
  #isClosed = false;
  #lastCallAt = Number.NEGATIVE_INFINITY;
  #pause: { readonly timer: unknown; readonly end: () => void } | null = null;
  readonly #barriers: {
    readonly at: number;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }[] = [];

  constructor(options: WriteQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pushed - this.#written;
  }

  get isFull(): boolean {
    return this.size >= WAITING_CHANGES_MAX;
  }

  push(write: Write): void {
    if (this.#isClosed || this.isFull) {
      const refusal = `${this.size} changes wait for the store already; try again`;
      write.failed(this.#isClosed ? new ClosedError('the store') : new StoreUnavailableError(refusal));
      return;
    }
    this.#waiting.push(write);
    this.#pushed++;
    if (!this.#isRunning) void this.#run();
  }

  /** Resolves when all that was pushed before is written or refused; rejects when the store is away. */
  settled(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    const settled = new Promise<void>((resolve, reject) => {
      this.#barriers.push({ at: this.#pushed, resolve, reject });
    });
    // Whoever reads wants to see what was acknowledged, and does not wait for the next round.
    if (this.#options.flushMs > 0) this.#pause?.end();
    return settled;
  }

  /** What is not written by now is not written any more. */
  close(): void {
    this.#isClosed = true;
    this.#pause?.end();
    this.#reject(this.#waiting.splice(0), new ClosedError('the store'));
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    let failures = 0;
    while (this.#waiting.length > 0) {
      await this.#throttle();
      const batch = this.#waiting.splice(0, this.#single > 0 ? 1 : BATCH_CHANGES_MAX);
      this.#single = Math.max(0, this.#single - 1);
      if (batch.length === 0) break;
      if (await this.#write(batch)) failures = 0;
      else if (!this.#isClosed) await this.#sleep(Math.min(RETRY_MS * 2 ** failures++, RETRY_MS_MAX));
    }
    this.#isRunning = false;
  }

  /** False where the store is away. */
  async #write(batch: Write[]): Promise<boolean> {
    const { store, clock, onAnswer, onAway } = this.#options;
    this.#lastCallAt = clock.now();
    try {
      const applied = await store.apply(
        batch.map((write) => write.change),
        batch.at(-1)!.now,
      );
      onAnswer();
      batch.forEach((write, i) => {
        write.done(applied[i] ?? null);
      });
    } catch (error) {
      if (error instanceof StoreUnavailableError) {
        this.#keep(batch, error);
        onAway();
        return false;
      }
      // One bad change must not stop the rest: they are written one by one.
      if (batch.length > 1) {
        this.#waiting = batch.concat(this.#waiting);
        this.#single = batch.length;
        return true;
      }
      batch[0]!.failed(error);
    }
    this.#written += batch.length;
    this.#pass();
    return true;
  }

  /** What has patience goes back to the front, in order. */
  #keep(batch: Write[], error: StoreUnavailableError): void {
    const now = this.#options.clock.now();
    const all = batch.concat(this.#waiting);
    this.#waiting = this.#isClosed ? [] : all.filter((write) => write.patientUntil > now);
    this.#reject(
      all.filter((write) => this.#isClosed || write.patientUntil <= now),
      error,
    );
    for (const barrier of this.#barriers.splice(0)) barrier.reject(error);
  }

  #reject(writes: readonly Write[], error: unknown): void {
    this.#written += writes.length;
    for (const write of writes) write.failed(error);
    this.#pass();
  }

  #pass(): void {
    while (this.#barriers.length > 0 && this.#barriers[0]!.at <= this.#written)
      this.#barriers.shift()!.resolve();
  }

  /** With `flushMs` calls are that far apart, unless somebody waits for what was written. */
  async #throttle(): Promise<void> {
    const { flushMs, clock } = this.#options;
    const wait = flushMs === 0 ? 0 : this.#lastCallAt + flushMs - clock.now();
    if (wait > 0 && wait <= flushMs && this.#barriers.length === 0) await this.#sleep(wait);
  }

  async #sleep(ms: number): Promise<void> {
    const { clock } = this.#options;
    await new Promise<void>((end) => {
      this.#pause = { timer: clock.setTimeout(end, ms), end };
    });
    clock.clearTimeout(this.#pause?.timer);
    this.#pause = null;
  }
}
