import { setImmediate as nextTurn } from 'node:timers/promises';
import { StoreUnavailableError } from '../../../errors.ts';

/** One script works on so many tasks at most, so that nobody waits long for Redis. */
export const BATCH_TASKS_MAX = 1_000;
/** …and takes so many bytes. */
export const BATCH_BYTES_MAX = 1024 * 1024;

/** Fewer items than this are not worth two round trips. */
const HALVED_FROM = 32;

export interface BatchOptions<Item, Answer> {
  /** Sends a batch and gives one answer for each item. `slot` tells batches under way apart. */
  readonly send: (items: readonly Item[], slot: number) => Promise<readonly Answer[]>;
  /** Items with the same key may share a batch. */
  readonly keyOf: (item: Item) => string | number;
  /** How much of a batch an item fills: at most 1. */
  readonly sizeOf: (item: Item) => number;
  /** So many batches are under way at the same time. */
  readonly parallel: number;
  /**
   * What comes at once, while nothing is under way, is sent as two batches: Redis works on one while the other is
   * made, and while those who asked for one get their answers and ask for more. @default false
   */
  readonly isHalved?: boolean;
  /**
   * Whether an item is a batch by itself: it is sent in the middle of this turn, so that Redis works on it while
   * this turn goes on. What was asked for before goes with it. @default none is
   */
  readonly isUrgent?: (item: Item) => boolean;
  /**
   * Sends what is asked while nothing is under way, as soon as what goes on now has come to its end; it calls `flush`.
   * @default when the event loop turns
   */
  readonly sendSoon?: () => void;
  /**
   * Sends what is asked before the event loop turns, so that the answer is on its way while this turn goes on;
   * what `after` was asked for by then is sent first.
   */
  readonly after?: Pick<Batcher<never, unknown>, 'asked' | 'sent' | 'flush'>;
}

/** An item that was taken out of its turn; one of these is called once. */
export interface Lone<Answer> {
  readonly slot: number;
  readonly answer: (answer: Answer) => void;
  readonly fail: (error: unknown) => void;
  /** Sends it by its usual way after all. */
  readonly goOn: (send: (slot: number) => Promise<Answer>) => void;
}

interface Entry<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What is asked in one turn of the event loop, and while answers are awaited, shares the next round trip. A
 * batch that fails fails all that were in it.
 */
export class Batcher<Item, Answer> {
  readonly #options: BatchOptions<Item, Answer>;
  #waiting: Entry<Item, Answer>[] = [];
  readonly #freeSlots: number[];
  #isScheduled = false;
  #asked = 0;
  #sent = 0;
  #idle: (() => void)[] = [];

  constructor(options: BatchOptions<Item, Answer>) {
    this.#options = options;
    this.#freeSlots = Array.from({ length: options.parallel }, (_, i) => i).reverse();
  }

  /** How many items were asked for, and how many of those were sent. */
  get asked(): number {
    return this.#asked;
  }

  get sent(): number {
    return this.#sent;
  }

  ask(item: Item): Promise<Answer> {
    this.#asked++;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#options.isUrgent?.(item) && !this.#mustWait) this.flush();
      else this.#schedule();
    });
  }

  /** Whether something that goes first is still gathered. */
  get #mustWait(): boolean {
    const { after } = this.#options;
    return after !== undefined && after.sent < after.asked;
  }

  /** The only item there is, waiting or under way; nothing where it has been sent. */
  get lone(): Item | undefined {
    return this.#waiting.length === 1 && this.#isQuiet ? this.#waiting[0]!.item : undefined;
  }

  /** Takes that one, to be sent by another way than the others. */
  takeLone(): Lone<Answer> {
    this.#isScheduled = false;
    const entries = this.#waiting.splice(0);
    this.#sent += entries.length;
    const slot = this.#freeSlots.pop()!;
    return {
      slot,
      answer: (answer) => {
        entries[0]!.resolve(answer);
        this.#free(slot);
      },
      fail: (error) => {
        this.#fail(entries, error);
        this.#free(slot);
      },
      goOn: (send) => void this.#send(entries, slot, async () => [await send(slot)]),
    };
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves when all that was asked for is on its way; sent at once where it can be. */
  async dispatched(): Promise<void> {
    const asked = this.#asked;
    if (this.#sent < asked) this.flush();
    while (this.#sent < asked) await nextTurn();
  }

  /** Resolves when nothing waits or is under way. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  get #isIdle(): boolean {
    return this.#waiting.length === 0 && this.#isQuiet;
  }

  get #isQuiet(): boolean {
    return this.#freeSlots.length === this.#options.parallel;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#freeSlots.length === 0) return;
    this.#isScheduled = true;
    const { after, sendSoon } = this.#options;
    if (sendSoon && this.#isQuiet) atTheEnd(sendSoon);
    else if (after === undefined) setImmediate(this.flush);
    else this.#scheduleAfter(after, after.asked);
  }

  #scheduleAfter(after: NonNullable<BatchOptions<Item, Answer>['after']>, asked: number): void {
    process.nextTick(() => {
      if (after.sent < asked) after.flush();
      if (after.sent >= asked) this.flush();
      else setImmediate(() => this.#scheduleAfter(after, asked));
    });
  }

  readonly flush = (): void => {
    this.#isScheduled = false;
    const countMax = this.#countMax();
    while (this.#waiting.length > 0 && this.#freeSlots.length > 0) {
      const slot = this.#freeSlots.pop()!;
      const entries = this.#take(countMax);
      this.#sent += entries.length;
      void this.#send(entries, slot);
    }
  };

  #countMax(): number {
    const { isHalved = false } = this.#options;
    const { length } = this.#waiting;
    return isHalved && this.#isQuiet && length >= HALVED_FROM ? Math.ceil(length / 2) : length;
  }

  /** The next items that fit into one batch: the first one always does. */
  #take(countMax: number): Entry<Item, Answer>[] {
    const { keyOf, sizeOf } = this.#options;
    const key = keyOf(this.#waiting[0]!.item);
    let size = 0;
    let count = 0;
    const most = Math.min(countMax, this.#waiting.length);
    while (count < most) {
      const { item } = this.#waiting[count]!;
      size += sizeOf(item);
      if (count > 0 && (size > 1 || keyOf(item) !== key)) break;
      count++;
    }
    if (count < this.#waiting.length) return this.#waiting.splice(0, count);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  async #send(
    entries: readonly Entry<Item, Answer>[],
    slot: number,
    send: (items: readonly Item[], slot: number) => Promise<readonly Answer[]> = this.#options.send,
  ): Promise<void> {
    try {
      const answers = await send(
        entries.map((entry) => entry.item),
        slot,
      );
      entries.forEach((entry, i) => {
        entry.resolve(answers[i]!);
      });
    } catch (error) {
      this.#fail(entries, error);
    } finally {
      this.#free(slot);
    }
  }

  #fail(entries: readonly Entry<Item, Answer>[], error: unknown): void {
    for (const entry of entries) entry.reject(error);
    // What waited meanwhile has waited for the same outage: nobody waits for two deadlines.
    if (error instanceof StoreUnavailableError) this.#rejectWaiting(error);
  }

  #free(slot: number): void {
    this.#freeSlots.push(slot);
    if (this.#waiting.length > 0) this.#schedule();
    else if (this.#isIdle) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #rejectWaiting(error: unknown): void {
    this.#sent += this.#waiting.length;
    for (const entry of this.#waiting.splice(0)) entry.reject(error);
  }
}

const RESOLVED = Promise.resolve();

/** When all promises that are resolved by now, and by each other, have been followed. */
function atTheEnd(act: () => void): void {
  void RESOLVED.then(() => process.nextTick(act));
}
