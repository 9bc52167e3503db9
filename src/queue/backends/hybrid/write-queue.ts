import type { Clock } from '../../../clock.ts';
import { ClosedError, StoreUnavailableError } from '../../../errors.ts';
import type { HeldChange, HoldingStore } from '../../holding-store.ts';
import { PassingMap } from '../../passing-map.ts';
import { isLeased } from '../../task.ts';
import type { Applied, Change, TaskRecord } from '../../task-store.ts';
import {
  asWritten,
  type Entry,
  FOR_EVER,
  inOrder,
  latestOf,
  noted,
  OVER,
  type Write,
} from './write-entry.ts';

/** What one call carries at most: small enough that the store works on one while the next is made. */
const BATCH_CHANGES_MAX = 512;
/**
 * Calls under way at the same time: the store works on some while this process makes the next. Redis answers together
 * what it finds together, so that two would often return at once and leave it with nothing to do.
 */
const CALLS_MAX = 4;
/** A further call is worth its round trip from so many on; fewer wait for one to return. */
const SECOND_CHANGES_MIN = 64;
/** So many on their way keep both the store and this process at work. */
const BUSY_CHANGES = 1_024;
/** Bounds the memory while the store is away. */
const WAITING_CHANGES_MAX = 20_000;
/** Pauses between tries while the store is away; doubled up to the second. */
const RETRY_MS = 25;
const RETRY_MS_MAX = 500;
/** Claims that were refused are remembered until so many came after them. */
const LOST_MAX = 10_000;

/** Somebody who waits for the answers to all up to a number. */
interface Barrier {
  readonly number: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface WriteQueueOptions {
  readonly store: Pick<HoldingStore, 'apply' | 'get'>;
  readonly clock: Clock;
  /** Calls are begun this far apart at least; 0 begins the next when the last has returned. */
  readonly flushMs: number;
  readonly onAnswer: () => void;
  readonly onAway: () => void;
  /** A claim made here was refused: somebody else wrote the task before. */
  readonly onRefused: (id: string, now: number) => void;
}

/**
 * Changes on their way into the store: each call carries all that has gathered, and the next one leaves while the
 * store works on the last. While the store is away those with patience are kept, and written when it is back.
 *
 * Claims are made before the store knows of them. What follows a claim travels with it as one change, or waits
 * for its answer; when the claim is refused, so is all that its holder has to say, whatever its version: that
 * of somebody else's write may be the same.
 */
export class WriteQueue {
  readonly #options: WriteQueueOptions;
  #waiting: Entry[] = [];
  /** The calls under way carry these. */
  readonly #leaving = new Set<readonly Entry[]>();
  /** The claims that no answer has come for, by task. */
  readonly #claims = new PassingMap<string, Entry>();
  /** The fences of refused claims, by task. */
  readonly #lost = new Map<string, number>();
  #barriers: Barrier[] = [];
  readonly #calls: (() => void)[] = [];
  /** So many changes are written one by one. */
  #single = 0;
  #pushed = 0;
  #size = 0;
  #owed = 0;
  #lastOwed = 0;
  #failures = 0;
  #isScheduled = false;
  #isClosed = false;
  #lastCallAt = Number.NEGATIVE_INFINITY;
  #pause: { readonly timer: unknown; readonly end: () => void } | null = null;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
  }

  /** Whether a change of status of one of these tasks is on its way. */
  isMoving(ids: readonly string[]): boolean {
    if (this.#size === 0) return false;
    const moving = new Set<string>();
    for (const entries of [this.#waiting, ...this.#leaving])
      for (const { change } of entries) if (change.event) moving.add(change.id);
    return ids.some((id) => moving.has(id));
  }

  get isFull(): boolean {
    return this.#size >= WAITING_CHANGES_MAX;
  }

  /** Whether so much waits that a claim had better wait too: what is under way costs memory and garbage collections. */
  get isBusy(): boolean {
    return this.#size >= BUSY_CHANGES;
  }

  /** Resolves when the next call has returned, however it ended. */
  called(): Promise<void> {
    if (this.#size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#calls.push(resolve);
    });
  }

  /** A claim made in memory. */
  pushClaim(change: HeldChange, now: number, failed: (error: unknown) => void): void {
    const write = { change, now, patientUntil: FOR_EVER, done: noted, failed };
    const entry = this.#push(write, true, true);
    if (entry) this.#claims.set(change.id, entry);
  }

  /** `isOwed`: its effect has been acknowledged already. */
  push(write: Write, isOwed = false): void {
    const claim = this.#claims.get(write.change.id);
    if (!claim || !this.#ride(claim, write)) this.#push(write, false, isOwed);
  }

  /** Resolves when everything whose effect was handed out is written or refused; rejects when the store is away. */
  settled(): Promise<void> {
    return this.#owed === 0 ? Promise.resolve() : this.#answeredUpTo(this.#lastOwed);
  }

  /** Resolves when all that was pushed before is written or refused; rejects when the store is away. */
  drained(): Promise<void> {
    return this.#size === 0 ? Promise.resolve() : this.#answeredUpTo(this.#pushed);
  }

  #answeredUpTo(number: number): Promise<void> {
    const settled = new Promise<void>((resolve, reject) => {
      this.#barriers.push({ number, resolve, reject });
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
    this.#pass();
  }

  #push(write: Write, isClaim: boolean, isOwed: boolean): Entry | null {
    if (this.#isClosed || this.isFull) {
      const refusal = `${this.#size} changes wait for the store already; try again`;
      write.failed(this.#isClosed ? new ClosedError('the store') : new StoreUnavailableError(refusal));
      return null;
    }
    const { change } = write;
    const number = ++this.#pushed;
    const entry: Entry = {
      number,
      write,
      isClaim,
      isOwed,
      change,
      rider: null,
      isLeaving: false,
      isInDoubt: false,
    };
    if (isOwed) {
      this.#owed++;
      this.#lastOwed = number;
    }
    this.#waiting.push(entry);
    this.#size++;
    this.#schedule();
    return entry;
  }

  /** What follows a claim that has not left yet becomes one change with it: one write, two events. */
  #ride(claim: Entry, rider: Write): boolean {
    const { id, version, event, identity } = claim.write.change;
    if (claim.rider || claim.isInDoubt || claim.isLeaving) return false;
    const { next, event: ending, dependsOn, spent, closes, log } = rider.change;
    if (rider.change.version !== version + 1 || !ending || !event) return false;
    // What few changes have goes by itself.
    if (dependsOn || spent || closes || log) return false;
    claim.change = { id, version, next, event: ending, claimed: event, ...(identity && { identity }) };
    claim.rider = rider;
    return true;
  }

  /** What comes in the same turn of the event loop leaves together: a claim and what follows it, mostly. */
  #schedule(): void {
    if (this.#isScheduled || !this.#mayLeave) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  get #mayLeave(): boolean {
    if (this.#pause || this.#waiting.length === 0) return false;
    if (this.#leaving.size === 0) return true;
    // What is acknowledged early has no version to tell its order by, and bad changes are looked for one by one.
    const isInOrder = this.#options.flushMs > 0 || this.#single > 0;
    return !isInOrder && this.#leaving.size < CALLS_MAX && this.#waiting.length >= SECOND_CHANGES_MIN;
  }

  readonly #run = async (): Promise<void> => {
    await this.#throttle();
    this.#isScheduled = false;
    if (!this.#mayLeave) return;
    const batch = this.#take();
    this.#schedule();
    const isWritten = batch.length === 0 || (await this.#send(batch));
    this.#pass();
    for (const resolve of this.#calls.splice(0)) resolve();
    if (isWritten) this.#failures = 0;
    else if (!this.#isClosed) await this.#rest();
    this.#schedule();
  };

  async #send(batch: Entry[]): Promise<boolean> {
    for (const entry of batch) entry.isLeaving = true;
    this.#leaving.add(batch);
    try {
      return await this.#write(batch);
    } finally {
      this.#leaving.delete(batch);
      for (const entry of batch) entry.isLeaving = false;
    }
  }

  /** The store is away. */
  async #rest(): Promise<void> {
    if (!this.#pause) await this.#sleep(Math.min(RETRY_MS * 2 ** this.#failures++, RETRY_MS_MAX));
  }

  /** The next changes; what follows a claim without an answer waits for it, what follows a refused one is refused. */
  #take(): Entry[] {
    const most = this.#single > 0 ? 1 : BATCH_CHANGES_MAX;
    this.#single = Math.max(0, this.#single - 1);
    const batch: Entry[] = [];
    const behind: Entry[] = [];
    let at = 0;
    for (; at < this.#waiting.length && batch.length < most; at++) {
      const entry = this.#waiting[at]!;
      const claim = this.#claims.get(entry.change.id);
      if (claim && claim !== entry) behind.push(entry);
      else if (this.#isLost(entry.change)) this.#answer(entry, null, false);
      else batch.push(entry);
    }
    const rest = this.#waiting.slice(at);
    this.#waiting = behind.length === 0 ? rest : behind.concat(rest);
    return batch;
  }

  /** Whether it is the word of somebody whose claim was refused. */
  #isLost({ id, next, event }: Change): boolean {
    if (this.#lost.size === 0 || this.#lost.get(id) !== next.fence) return false;
    return isLeased(event?.from ?? next.status);
  }

  /** False where the store is away. */
  async #write(batch: Entry[]): Promise<boolean> {
    const { store, clock, onAnswer, onAway } = this.#options;
    this.#lastCallAt = clock.now();
    try {
      const changes = batch.map((entry) => entry.change);
      const applied = await store.apply(changes, latestOf(batch));
      const written = await this.#writtenBefore(batch, applied);
      onAnswer();
      batch.forEach((entry, i) => {
        const answer = applied[i] ?? asWritten(entry, written.get(entry.change.id));
        this.#answer(entry, answer, answer !== null || written.has(entry.change.id));
      });
    } catch (error) {
      if (error instanceof StoreUnavailableError) {
        this.#keep(batch, error);
        onAway();
        return false;
      }
      // One bad change must not stop the rest: they are written one by one, where they were not.
      if (batch.length > 1) {
        for (const entry of batch) entry.isInDoubt = true;
        this.#waiting = inOrder(batch.concat(this.#waiting));
        this.#single = batch.length;
      } else this.#reject(batch, error);
    }
    return true;
  }

  /** Of the claims that were refused when they were sent again: those that had been written the first time. */
  async #writtenBefore(
    batch: readonly Entry[],
    applied: readonly (Applied | null)[],
  ): Promise<Map<string, TaskRecord>> {
    const written = new Map<string, TaskRecord>();
    const doubtful = batch.filter((entry, i) => entry.isClaim && entry.isInDoubt && !applied[i]);
    if (doubtful.length === 0) return written;
    const records = await this.#options.store.get(doubtful.map((entry) => entry.change.id));
    doubtful.forEach(({ change }, i) => {
      const record = records[i];
      if (record?.fence === change.next.fence) written.set(change.id, record);
    });
    return written;
  }

  #answer(entry: Entry, applied: Applied | null, isWritten: boolean): void {
    const { id, next } = entry.change;
    this.#size--;
    if (entry.isOwed) this.#owed--;
    if (entry.isClaim) {
      this.#claims.delete(id);
      if (!isWritten) this.#lose(id, next.fence, entry.write.now);
    }
    const { write, rider } = entry;
    // What is over keeps nothing alive: old tables of the map of claims still lead here.
    entry.write = OVER;
    entry.change = OVER.change;
    entry.rider = null;
    write.done(applied);
    rider?.done(applied);
  }

  #lose(id: string, fence: number, now: number): void {
    this.#lost.delete(id);
    this.#lost.set(id, fence);
    if (this.#lost.size > LOST_MAX) this.#lost.delete(this.#lost.keys().next().value!);
    this.#options.onRefused(id, now);
  }

  /** What has patience goes back to the front, in order. A claim always has; what rides on it may lose it. */
  #keep(batch: Entry[], error: StoreUnavailableError): void {
    const now = this.#options.clock.now();
    for (const barrier of this.#barriers.splice(0)) barrier.reject(error);
    for (const entry of batch) entry.isInDoubt = true;
    const all = inOrder(batch.concat(this.#waiting));
    const isKept = ({ isClaim, write }: Entry) => !this.#isClosed && (isClaim || write.patientUntil > now);
    this.#waiting = all.filter(isKept);
    this.#reject(
      all.filter((entry) => !isKept(entry)),
      error,
    );
    for (const entry of this.#waiting) {
      if (!entry.rider || entry.rider.patientUntil > now) continue;
      entry.rider.failed(error);
      entry.rider = null;
      entry.change = entry.write.change;
    }
  }

  #reject(entries: readonly Entry[], error: unknown): void {
    for (const { isClaim, isOwed, change, write, rider } of entries) {
      this.#size--;
      if (isOwed) this.#owed--;
      if (isClaim) this.#claims.delete(change.id);
      write.failed(error);
      rider?.failed(error);
    }
  }

  /** Tells those whose writes have all been answered. They are not in order of their numbers. */
  #pass(): void {
    if (this.#barriers.length === 0) return;
    let oldest = Number.POSITIVE_INFINITY;
    for (const entries of [this.#waiting, ...this.#leaving])
      for (const { number } of entries) oldest = Math.min(oldest, number);
    const passed = this.#barriers.filter(({ number }) => number < oldest);
    this.#barriers = this.#barriers.filter(({ number }) => number >= oldest);
    for (const { resolve } of passed) resolve();
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
