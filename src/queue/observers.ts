import type { Clock } from '../clock.ts';
import type { HeldTasks } from './held-tasks.ts';
import { QueueEmitter } from './queue-events.ts';
import { StoreWatch } from './store-watch.ts';
import { isEnded, isLeased, type Task } from './task.ts';
import type { QueueEvents } from './task-queue.ts';
import type { Change, NewRecord, TaskRecord, TaskStore } from './task-store.ts';
import { Waiters, type WaitOptions } from './waiters.ts';

/** What observing needs of its queue. */
export interface Observed {
  readonly store: TaskStore;
  readonly clock: Clock;
  readonly held: HeldTasks;
  readonly view: (record: TaskRecord) => Task;
}

/**
 * Everybody in this process who wants news of tasks: listeners, those who wait for an end, and the holders of
 * leases. The store is watched only while there is somebody to tell.
 */
export class Observers {
  readonly #observed: Observed;
  readonly #events = new QueueEmitter();
  readonly #waiters: Waiters;
  readonly #watch: StoreWatch;
  /** Whether tasks with limits went through this queue object. */
  #hasLimits = false;

  constructor(observed: Observed) {
    this.#observed = observed;
    const { store, clock } = observed;
    this.#waiters = new Waiters(clock);
    this.#watch = new StoreWatch(store, clock, {
      onHint: () => this.#lookAround(),
      onReady: () => this.#events.emit('available', undefined),
      onError: (error) => this.report(error),
    });
  }

  on<E extends keyof QueueEvents>(event: E, listener: (value: QueueEvents[E]) => void): () => void {
    const removeListener = this.#events.on(event, listener);
    const off = () => {
      removeListener();
      this.#unwatchIfIdle();
    };
    try {
      if (event === 'available' || event === 'leaseLost') this.#watch.start();
    } catch (error) {
      off();
      throw error;
    }
    return off;
  }

  emit<E extends keyof QueueEvents>(event: E, value: QueueEvents[E]): void {
    this.#events.emit(event, value);
  }

  report(error: unknown): void {
    this.#events.emit('error', error instanceof Error ? error : new Error(String(error)));
  }

  async waitFor(id: string, options: WaitOptions): Promise<Task> {
    try {
      this.#watch.start();
      const ended = this.#waiters.wait(id, options);
      ended.catch(() => {});
      // Looked at only now: an end between a look and the registration would go unnoticed.
      await this.tellWaiters([id]);
      return await ended;
    } finally {
      this.#unwatchIfIdle();
    }
  }

  hears(event: keyof QueueEvents): boolean {
    return this.#events.has(event);
  }

  /** Tasks are stored. */
  welcome(records: readonly NewRecord[], now: number): void {
    const isHeard = this.#events.has('transition');
    for (const { id, runAt, quota } of records) {
      if (quota) this.#hasLimits = true;
      if (isHeard)
        this.#events.emit('transition', { taskId: id, seq: 1, from: null, to: 'pending', at: now });
      if (runAt > now) this.#watch.armDue(runAt);
    }
  }

  /** Tasks are on their way into the store. */
  foresee(records: readonly NewRecord[], now: number): void {
    if (!this.#events.has('available')) return;
    if (records.some((record) => record.runAt <= now)) this.#events.emit('available', undefined);
  }

  /** Tells everybody in this process what a change means for them. */
  announce(change: Change, record: TaskRecord, task: Task): void {
    if (change.event) this.#tell(record, change.event, task);
    if (record.status === 'pending' || record.status === 'retrying') this.#offer(record);
  }

  /** A task that stays under limits was settled: others of its keys may start, now or when a key opens. */
  freed(record: TaskRecord): void {
    if (isLeased(record.status)) return;
    this.#hasLimits = true;
    this.#events.emit('available', undefined);
    void this.#watch.refreshDue();
  }

  /** A claim found less than it asked for: a limit may keep some back until a time. */
  keptBack(): void {
    if (this.#hasLimits) void this.#watch.refreshDue();
  }

  /** For transitions the store made by itself: claims and skips. */
  async tellLatest(ids: readonly string[]): Promise<void> {
    if (!this.#events.has('transition')) return;
    for (const id of ids) {
      const latest = (await this.#observed.store.history(id)).at(-1);
      if (latest) this.#events.emit('transition', latest);
    }
  }

  /** Tells those who wait for one of these tasks how it stands. */
  async tellWaiters(ids: readonly string[]): Promise<void> {
    const awaited = ids.filter((id) => this.#waiters.has(id));
    if (awaited.length === 0) return;
    const { store, view } = this.#observed;
    try {
      const records = await store.get(awaited);
      records.forEach((record, i) => {
        this.#waiters.tell(awaited[i]!, record ? view(record) : null);
      });
    } catch (error) {
      this.report(error);
    }
  }

  /** Tells who listens for lost leases of those that were lost to another process. */
  async checkHeld(): Promise<void> {
    const { store, held } = this.#observed;
    if (held.size === 0 || !this.#events.has('leaseLost')) return;
    const { ids } = held;
    const records = await store.get(ids);
    ids.forEach((id, i) => {
      this.#checkLease(id, records[i] ?? null);
    });
  }

  loseLease({ id, fence }: TaskRecord, reason: 'cancelled' | 'taken over'): void {
    this.#observed.held.forget(id);
    this.#events.emit('leaseLost', { taskId: id, fence, reason });
  }

  /** Nobody is waited for or watched any more; listeners still hear what is under way. */
  stop(): void {
    this.#watch.stop();
    this.#waiters.close();
  }

  clear(): void {
    this.#events.clear();
  }

  #checkLease(id: string, record: TaskRecord | null): void {
    const { held } = this.#observed;
    const mine = held.get(id);
    if (!mine || (record && record.version < mine.record.version)) return;
    if (record && record.fence === mine.record.fence && isLeased(record.status)) {
      held.refresh(record);
    } else if (!record || record.version !== mine.record.version || record.fence !== mine.record.fence) {
      this.loseLease(mine.record, record?.status === 'cancelled' ? 'cancelled' : 'taken over');
    }
  }

  #tell(record: TaskRecord, event: NonNullable<Change['event']>, task: Task): void {
    if (this.#events.has('transition')) {
      this.#events.emit('transition', { taskId: record.id, seq: record.events, ...event });
    }
    if (!isEnded(record.status)) return;
    if (this.#waiters.has(record.id)) this.#waiters.tell(record.id, task);
    if ((record.status === 'completed' || record.status === 'failed') && this.#events.has(record.status)) {
      this.#events.emit(record.status, task);
    }
  }

  #offer(record: TaskRecord): void {
    if (record.runAt > this.#observed.clock.now()) this.#watch.armDue(record.runAt);
    else this.#events.emit('available', undefined);
  }

  /** Somebody else wrote: what we wait for may have ended, what we hold may be ours no longer. */
  async #lookAround(): Promise<void> {
    this.#events.emit('available', undefined);
    await this.tellWaiters(this.#waiters.ids);
    await this.checkHeld();
  }

  #unwatchIfIdle(): void {
    const heard = this.#events.has('available') || this.#events.has('leaseLost');
    if (!heard && this.#waiters.size === 0) this.#watch.stop();
  }
}
