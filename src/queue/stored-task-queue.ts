import type { Clock } from '../clock.ts';
import {
  ClosedError,
  InvalidOptionError,
  LeaseLostError,
  QueuePausedError,
  StoreUnavailableError,
  TaskNotFoundError,
} from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { CLAIM_TASKS_MAX } from './bounds.ts';
import { Conditions } from './conditions.ts';
import { HeldTasks } from './held-tasks.ts';
import { takeIn, validateBatch } from './intake.ts';
import { listTasks } from './listing.ts';
import { Loop } from './loop.ts';
import { QueueEmitter } from './queue-events.ts';
import { type ResolvedOptions, resolveOptions } from './queue-options.ts';
import { toAnswer, toClaimFilter, toEnding, toStatusAction } from './requests.ts';
import { toStats } from './stats.ts';
import { StoreWatch } from './store-watch.ts';
import { intactSubmission, type SubmissionRules, toRecord } from './submission.ts';
import { sweep } from './sweeper.ts';
import {
  isEnded,
  isLeased,
  type NewTask,
  type Outcome,
  type Task,
  type TaskEvent,
  type TaskStatus,
} from './task.ts';
import { TaskContext } from './task-context.ts';
import type {
  Assignment,
  ConditionFunction,
  DequeueOptions,
  ListTasksQuery,
  QueueEvents,
  QueueStats,
  StatusChange,
  TaskFilter,
  TaskPage,
  TaskQueue,
  TaskQueueOptions,
} from './task-queue.ts';
import type { Change, Effects, NewRecord, TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission, toTask } from './task-view.ts';
import { decide, type Note, type TaskAction } from './transitions.ts';
import { Waiters, type WaitOptions } from './waiters.ts';

/** A compare-and-set that loses this often in a row meets a broken store, not other writers. */
const APPLY_ROUNDS_MAX = 100;

/**
 * The queue: all policy over the narrow TaskStore port. What happens to a task is decided by a pure function
 * over one transition table and written by compare-and-set, so that it is the same on every backend.
 */
export class StoredTaskQueue implements TaskQueue {
  readonly #store: TaskStore;
  readonly #options: ResolvedOptions;
  readonly #events = new QueueEmitter();
  readonly #held = new HeldTasks();
  readonly #conditions = new Conditions();
  readonly #waiters: Waiters;
  readonly #watch: StoreWatch;
  readonly #sweeper: Loop;
  readonly #rules: SubmissionRules;
  #checkpointer: Promise<unknown> | null = null;
  #closing: Promise<void> | null = null;

  constructor(store: TaskStore, options: TaskQueueOptions = {}) {
    this.#store = store;
    this.#options = resolveOptions(options);
    const { clock, conditions, sweepMs, agingMs, payloadBytesMax, newId } = this.#options;
    this.#rules = {
      agingMs,
      payloadBytesMax,
      newId,
      hasCondition: (name) => this.#conditions.has(name),
      isHashed: !store.isInProcess,
    };
    const onError = (error: unknown) => this.#report(error);
    this.#waiters = new Waiters(clock);
    this.#watch = new StoreWatch(store, clock, {
      onHint: () => this.#lookAround(),
      onDue: () => this.#events.emit('available', undefined),
      onError,
    });
    this.#sweeper = new Loop(clock, sweepMs, () => this.#sweep(), onError);
    for (const [name, condition] of Object.entries(conditions)) this.#conditions.register(name, condition);
  }

  get owner(): string {
    return this.#options.owner;
  }

  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  get heartbeatMs(): number {
    return this.#options.heartbeatMs;
  }

  get timeoutMs(): number | undefined {
    return this.#options.timeoutMs;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  async enqueue(task: NewTask): Promise<string> {
    this.#use();
    const now = this.clock.now();
    const record = toRecord(task, 'task', now, this.#rules);
    const { inserted, effects } = await takeIn(this.#store, [record], now);
    if (inserted.length > 0) this.#welcome(record, now);
    if (!isQuiet(effects)) await this.#follow(effects);
    return record.id;
  }

  async enqueueMany(tasks: readonly NewTask[]): Promise<string[]> {
    this.#use();
    const now = this.clock.now();
    const records = await validateBatch(tasks, now, this.#rules);
    const { inserted, effects } = await takeIn(this.#store, records, now);
    for (const record of inserted) this.#welcome(record, now);
    if (!isQuiet(effects)) await this.#follow(effects);
    return records.map((record) => record.id);
  }

  async dequeue(filter?: TaskFilter, options?: DequeueOptions): Promise<Task | null> {
    const [task] = await this.dequeueMany(1, filter, options);
    return task ?? null;
  }

  async dequeueMany(
    limit: number,
    filter: TaskFilter = {},
    { start = false }: DequeueOptions = {},
  ): Promise<Task[]> {
    this.#use();
    if (!Number.isInteger(limit) || limit < 1)
      throw new InvalidOptionError('limit', 'a whole number from 1', limit);
    const wanted = Math.min(limit, CLAIM_TASKS_MAX);
    const claimFilter = toClaimFilter(filter);
    const tasks: Task[] = [];
    // A damaged task is quarantined and must not stop the rest, so the claim goes on until it is filled or dry.
    for (;;) {
      const now = this.clock.now();
      const records = await this.#store.claim({
        limit: wanted - tasks.length,
        owner: this.owner,
        leaseExpiresAt: now + this.leaseMs,
        filter: claimFilter,
        to: start ? 'in_progress' : 'assigned',
        now,
      });
      for (const record of records) {
        const submission = this.#rules.isHashed ? intactSubmission(record) : readSubmission(record);
        if (submission) tasks.push(this.#take(record, submission));
        else await this.#act(record.id, { type: 'quarantine' }, record);
      }
      if (this.#events.has('transition')) for (const { id } of records) await this.#tellLatest(id);
      if (records.length === 0 || tasks.length === wanted) return tasks;
      if (records.length < wanted && tasks.length > 0) return tasks;
    }
  }

  start(task: Task): Promise<Task> {
    return this.#start(task.id, fenceOf(task));
  }

  async heartbeat(task: Task): Promise<Task> {
    const fence = fenceOf(task);
    const beaten = await this.#act(task.id, { type: 'heartbeat', fence });
    if (!isLeased(beaten.status)) throw new LeaseLostError(task.id, fence, 'the attempt timed out');
    return beaten;
  }

  async heartbeatMany(tasks: readonly Task[]): Promise<(Task | null)[]> {
    return Promise.all(
      tasks.map((task) =>
        this.heartbeat(task).catch((error: unknown) => {
          if (error instanceof LeaseLostError || error instanceof TaskNotFoundError) return null;
          throw error;
        }),
      ),
    );
  }

  async settle(task: Task, outcome: Outcome, assignment?: Assignment): Promise<Task> {
    const ending = toEnding(outcome);
    return await this.#act(task.id, { type: 'settle', fence: fenceOf(task), ending, assignment });
  }

  async assign(task: Task, assignment: Assignment): Promise<Task> {
    return await this.#act(task.id, { type: 'assign', fence: fenceOf(task), assignment });
  }

  async updateStatus(id: string, status: TaskStatus, change: StatusChange = {}): Promise<Task> {
    this.#use();
    const current = this.#held.get(id)?.record ?? (await this.#load(id));
    const { action, note } = toStatusAction(current, status, change);
    if (action.type === 'start') return this.#start(id, null, note);
    return await this.#act(id, action, undefined, note);
  }

  async cancel(id: string, reason?: string): Promise<Task> {
    return await this.#act(id, { type: 'cancel', reason });
  }

  async retry(id: string): Promise<Task> {
    return await this.#act(id, { type: 'redrive' });
  }

  async answer(id: string, interruptId: string, value: JsonValue): Promise<Task> {
    return await this.#act(id, toAnswer(interruptId, value));
  }

  async getTask(id: string): Promise<Task | null> {
    this.#use();
    const [record] = await this.#store.get([id]);
    return record ? this.#view(record) : null;
  }

  async listTasks(query: ListTasksQuery = {}): Promise<TaskPage> {
    this.#use();
    return listTasks(this.#store, query, (record) => this.#view(record));
  }

  async history(id: string): Promise<TaskEvent[]> {
    this.#use();
    return this.#store.history(id);
  }

  async stats(): Promise<QueueStats> {
    this.#use();
    const now = this.clock.now();
    return toStats(await this.#store.counts(now), now);
  }

  async pause(): Promise<void> {
    this.#use();
    await this.#store.setPaused(true);
    this.#events.emit('paused', undefined);
  }

  async resume(): Promise<void> {
    this.#use();
    await this.#store.setPaused(false);
    this.#events.emit('resumed', undefined);
    this.#events.emit('available', undefined);
  }

  async waitFor(id: string, options: WaitOptions = {}): Promise<Task> {
    this.#use();
    const ended = this.#waiters.wait(id, options);
    ended.catch(() => {});
    this.#watch.start();
    // Looked at only now: an end between a look and the registration would go unnoticed.
    await this.#tellWaiters([id]);
    try {
      return await ended;
    } finally {
      this.#unwatchIfIdle();
    }
  }

  on<E extends keyof QueueEvents>(event: E, listener: (value: QueueEvents[E]) => void): () => void {
    if (this.#closing) throw new ClosedError('the queue');
    const off = this.#events.on(event, listener);
    if (event === 'available' || event === 'leaseLost') this.#watch.start();
    return () => {
      off();
      this.#unwatchIfIdle();
    };
  }

  registerCondition(name: string, condition: ConditionFunction): void {
    this.#conditions.register(name, condition);
  }

  checkpointer(): Promise<unknown> {
    this.#checkpointer ??= this.makeCheckpointer();
    return this.#checkpointer;
  }

  /** Backends with a saver of their own override this. */
  protected async makeCheckpointer(): Promise<unknown> {
    const { FencedMemorySaver } = await import('../checkpoint/memory-saver.ts');
    return new FencedMemorySaver();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#watch.stop();
    this.#waiters.close();
    await this.#sweeper.stop();
    this.#events.clear();
    await this.#store.close();
  }

  /** The door of every verb: nothing runs in the background before the first one, or after close. */
  #use(): void {
    if (this.#closing) throw new ClosedError('the queue');
    this.#sweeper.start();
  }

  #welcome({ id, runAt }: NewRecord, now: number): void {
    if (this.#events.has('transition')) {
      this.#events.emit('transition', { taskId: id, seq: 1, from: null, to: 'pending', at: now });
    }
    if (runAt <= now) this.#events.emit('available', undefined);
    else this.#watch.armDue(runAt);
  }

  #take(record: TaskRecord, submission: NewTask): Task {
    this.#held.update(record, submission, this.owner);
    return this.#view(record, submission);
  }

  async #start(id: string, fence: number | null, note?: Note): Promise<Task> {
    this.#use();
    if (await this.#store.isPaused()) throw new QueuePausedError(id);
    return await this.#act(id, { type: 'start', fence }, undefined, note);
  }

  /**
   * Decides and writes until nobody wrote in between. A refusal by a remembered record is checked against a
   * fresh one before it is believed.
   */
  async #act(id: string, action: TaskAction, known?: TaskRecord, note?: Note): Promise<Task> {
    this.#use();
    const held = this.#held.get(id);
    let remembered = known ?? held?.record;
    for (let round = 0; round < APPLY_ROUNDS_MAX; round++) {
      const record = remembered ?? (await this.#load(id));
      const submission = held?.submission ?? readSubmission(record);
      const change = this.#decide(record, action, note, submission, remembered !== undefined);
      remembered = undefined;
      if (change === null) return this.#view(record, submission);
      if (change === 'refused') continue;
      const [applied] = await this.#store.apply([change], this.clock.now());
      if (applied) {
        const task = this.#view(applied.record, submission);
        this.#held.update(applied.record, submission, this.owner);
        if (held && task.status === 'cancelled') this.#loseLease(held.record, 'cancelled');
        if (held && action.type === 'expire') this.#loseLease(held.record, 'taken over');
        this.#announce(change, applied.record, task);
        if (!isQuiet(applied.effects)) await this.#follow(applied.effects);
        return task;
      }
    }
    throw new StoreUnavailableError(
      `task ${id} was changed ${APPLY_ROUNDS_MAX} times while being written; try again`,
    );
  }

  #decide(
    record: TaskRecord,
    action: TaskAction,
    note: Note | undefined,
    submission: NewTask,
    isRemembered: boolean,
  ): Change | null | 'refused' {
    try {
      return decide(record, action, new TaskContext(record, submission, this.#options), note);
    } catch (error) {
      if (isRemembered) return 'refused';
      throw error;
    }
  }

  /** Tells everybody in this process what a change means for them. */
  #announce(change: Change, record: TaskRecord, task: Task): void {
    if (change.event) this.#tell(record, change.event, task);
    if (record.status === 'pending' || record.status === 'retrying') this.#offer(record);
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
    if (record.runAt > this.clock.now()) this.#watch.armDue(record.runAt);
    else this.#events.emit('available', undefined);
  }

  /** What an ending did to other tasks: wakes who waits for them, and judges what only this layer can judge. */
  async #follow(effects: Effects): Promise<void> {
    let { released, skipped, unjudged } = effects;
    for (;;) {
      if (released.length > 0) this.#events.emit('available', undefined);
      for (const id of skipped) if (this.#events.has('transition')) await this.#tellLatest(id);
      await this.#tellWaiters(skipped.filter((id) => this.#waiters.has(id)));
      if (!unjudged) return;
      const edges = await this.#store.unjudged(100);
      if (edges.length === 0) return;
      const dependencies = await this.#store.get(edges.map((edge) => edge.dependencyId));
      const verdicts = edges.map((edge, i) => {
        const dependency = dependencies[i];
        return this.#conditions.judge(edge, dependency ? this.#view(dependency) : null);
      });
      ({ released, skipped } = await this.#store.judge(verdicts, this.clock.now()));
      unjudged = true;
    }
  }

  /** For transitions the store made by itself: claims and skips. */
  async #tellLatest(id: string): Promise<void> {
    const latest = (await this.#store.history(id)).at(-1);
    if (latest) this.#events.emit('transition', latest);
  }

  async #tellWaiters(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    try {
      const records = await this.#store.get(ids);
      records.forEach((record, i) => {
        this.#waiters.tell(ids[i]!, record ? this.#view(record) : null);
      });
    } catch (error) {
      this.#report(error);
    }
  }

  /** Somebody else wrote: what we wait for may have ended, what we hold may be ours no longer. */
  async #lookAround(): Promise<void> {
    this.#events.emit('available', undefined);
    await this.#tellWaiters(this.#waiters.ids);
    if (this.#events.has('leaseLost')) await this.#checkHeld();
  }

  async #checkHeld(): Promise<void> {
    const ids = this.#held.ids;
    if (ids.length === 0) return;
    const records = await this.#store.get(ids);
    ids.forEach((id, i) => {
      const held = this.#held.get(id);
      const record = records[i];
      if (!held || (record && record.version < held.record.version)) return;
      if (record && record.fence === held.record.fence && isLeased(record.status)) {
        this.#held.update(record, held.submission, this.owner);
      } else if (!record || record.version !== held.record.version) {
        this.#loseLease(held.record, record?.status === 'cancelled' ? 'cancelled' : 'taken over');
      }
    });
  }

  #loseLease({ id, fence }: TaskRecord, reason: 'cancelled' | 'taken over'): void {
    this.#held.forget(id);
    this.#events.emit('leaseLost', { taskId: id, fence, reason });
  }

  async #sweep(): Promise<void> {
    const now = this.clock.now();
    const { expired, purged } = await sweep(this.#store, now, this.#options.retentionMs);
    for (const record of expired) {
      await this.#act(record.id, { type: 'expire' }, record).catch((error: unknown) => this.#report(error));
    }
    // After a blocked event loop the sweep may come before any other look: who listens is told before it is forgotten.
    if (this.#events.has('leaseLost')) await this.#checkHeld();
    this.#held.forgetExpired(now - this.leaseMs);
    if (purged.length > 0) {
      this.#events.emit('purged', purged);
      await this.#tellWaiters(purged.filter((id) => this.#waiters.has(id)));
    }
    await this.#follow({ released: [], skipped: [], unjudged: true });
  }

  async #load(id: string): Promise<TaskRecord> {
    const [record] = await this.#store.get([id]);
    if (!record) throw new TaskNotFoundError(id);
    return record;
  }

  #view(record: TaskRecord, submission = readSubmission(record)): Task {
    return toTask(record, submission, this.#options.defaults);
  }

  #unwatchIfIdle(): void {
    const heard = this.#events.has('available') || this.#events.has('leaseLost');
    if (!heard && this.#waiters.size === 0) this.#watch.stop();
  }

  #report(error: unknown): void {
    this.#events.emit('error', error instanceof Error ? error : new Error(String(error)));
  }
}

function isQuiet({ released, skipped, unjudged }: Effects): boolean {
  return released.length === 0 && skipped.length === 0 && !unjudged;
}

function fenceOf(task: Task): number {
  if (!task.lease)
    throw new LeaseLostError(task.id, 0, 'this task object holds no lease; use the one dequeue() returned');
  return task.lease.fence;
}
