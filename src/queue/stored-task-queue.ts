import type { Clock } from '../clock.ts';
import {
  ClosedError,
  InvalidOptionError,
  LeaseLostError,
  QueuePausedError,
  TaskNotFoundError,
} from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { requireOptions } from '../options.ts';

import { Admission } from './admission.ts';
import { AlarmClock } from './alarm-clock.ts';
import {
  type AnalyticsOptions,
  checkWindow,
  countsSince,
  MINUTE_MS,
  type QueueAnalytics,
  toAnalytics,
} from './analytics.ts';
import { AnalyticsLog } from './analytics-log.ts';
import { APPROVAL_TYPE } from './approval.ts';
import { Approvals } from './approvals.ts';
import { type EnqueuedTasks, enqueued } from './batch.ts';

import { CLAIM_TASKS_MAX } from './bounds.ts';
import { childOf } from './children.ts';
import type { ClaimFilter } from './claim-filter.ts';
import { Conditions } from './conditions.ts';
import type { Effect } from './effects.ts';
import { type Explanation, explain } from './explanation.ts';
import { kindGates } from './gate.ts';
import { HeldTasks } from './held-tasks.ts';
import { type Intake, takeIn, validateBatch } from './intake.ts';
import { LeaseWatch } from './lease-watch.ts';
import { type Limit, type LimitState, toGateChange, toLimitState } from './limits.ts';
import { listTasks } from './listing.ts';
import { Loop } from './loop.ts';
import type { MoveReport } from './move.ts';
import { Observers } from './observers.ts';
import { isQuiet, Propagation } from './propagation.ts';
import { forgetEntriesOf } from './purged-entries.ts';
import { type MoveOptions, moveQueue } from './queue-move.ts';
import { type ResolvedOptions, resolveOptions } from './queue-options.ts';
import type { Registry } from './registry.ts';
import {
  checkNames,
  fenceOf,
  toAnswer,
  toClaimFilter,
  toDecision,
  toEnding,
  toNote,
  toPausedKey,
  toSpent,
  toStatusAction,
} from './requests.ts';
import { toStats } from './stats.ts';
import { type SubmissionRules, type SubmittedRecord, toRecord } from './submission.ts';
import { placeIn } from './submission-fields.ts';
import { Sweep } from './sweep.ts';
import { STEP_TASKS_MAX } from './sweeper.ts';
import { isLeased, type NewTask, type Outcome, type Task, type TaskEvent, type TaskStatus } from './task.ts';
import type { TaskLog } from './task-log.ts';
import type {
  ApprovalDecision,
  Assignment,
  ConditionFunction,
  DequeueOptions,
  ListTasksQuery,
  PauseTarget,
  QueueEvents,
  QueueStats,
  StatusChange,
  TaskFilter,
  TaskPage,
  TaskQueue,
  TaskQueueOptions,
} from './task-queue.ts';
import type { Logging, TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission, type TaskDefaults, toTask } from './task-view.ts';
import { TaskWriter } from './task-writer.ts';
import type { WaitOptions } from './waiters.ts';
import { liveWorkers } from './workers.ts';

const TASK = placeIn('task');

/**
 * The queue: all policy over the narrow TaskStore port. What happens to a task is decided by a pure function
 * over one transition table and written by compare-and-set, so that it is the same on every backend.
 */
export class StoredTaskQueue implements TaskQueue {
  readonly #store: TaskStore;
  readonly #options: ResolvedOptions;
  // Fields of its own, not of the options: what an object literal holds is typed anew with the second queue of a
  // process, which would throw away the compiled code of the first.
  readonly #clock: Clock;
  readonly #defaults: TaskDefaults;
  readonly #held: HeldTasks;
  readonly #conditions = new Conditions();
  readonly #observers: Observers;
  readonly #log: AnalyticsLog;
  readonly #sweeper: Loop;
  readonly #alarm: AlarmClock;
  readonly #approvals: Approvals;
  readonly #admission: Admission;
  readonly #rules: SubmissionRules;
  readonly #propagation: Propagation;
  readonly #writer: TaskWriter;
  #checkpointer: Promise<unknown> | null = null;
  /** The saver made here; a backend with one of its own purges both in one step. */
  #threads: { deleteThreads(threadIds: readonly string[]): Promise<void> } | null = null;
  #isOpen = false;
  #closing: Promise<void> | null = null;

  constructor(store: TaskStore, options: TaskQueueOptions = {}) {
    this.#store = store;
    this.#options = resolveOptions(options);
    const { clock, conditions, sweepMs, agingMs, payloadBytesMax, newId, limits } = this.#options;
    this.#clock = clock;
    this.#defaults = this.#options.defaults;
    this.#held = new HeldTasks(this.owner, this.#defaults);
    this.#rules = {
      agingMs,
      payloadBytesMax,
      newId,
      hasCondition: (name) => this.#conditions.has(name),
      isInProcess: store.isInProcess ?? false,
      limits,
    };
    this.#observers = new Observers({
      store,
      clock,
      held: this.#held,
      view: (record) => this.#view(record),
      onAlarm: () => void this.#alarm.ringNow(),
    });
    const onError = (error: unknown) => this.#observers.report(error);
    this.#log = new AnalyticsLog(() => store.registry, clock, this.#options.owner, onError);
    this.#approvals = new Approvals({
      store,
      clock,
      owner: this.owner,
      leaseMs: this.leaseMs,
      act: (id, wanted, known) => this.#writer.act(id, wanted, known),
      admit: (records) => this.#admission.admit(records, false, []),
      onError,
    });
    this.#admission = new Admission({
      store,
      options: this.#options,
      isInProcess: this.#rules.isInProcess,
      held: this.#held,
      approvals: this.#approvals,
      act: (id, action, known) => this.#writer.act(id, action, known),
      onError,
    });
    this.#propagation = new Propagation({
      store,
      clock,
      leaseMs: this.leaseMs,
      conditions: this.#conditions,
      observers: this.#observers,
      approvals: this.#approvals,
      log: this.#log,
      view: (record) => this.#view(record),
    });
    this.#writer = new TaskWriter({
      store,
      options: this.#options,
      held: this.#held,
      conditions: this.#conditions,
      observers: this.#observers,
      approvals: this.#approvals,
      log: this.#log,
      propagation: this.#propagation,
      setAlarm: (at) => this.#alarm.set(at),
      use: () => this.#use(),
      view: (record, submission) => this.#view(record, submission),
    });
    const sweep = new Sweep({
      store,
      clock,
      approvals: this.#approvals,
      leases: new LeaseWatch(clock, this.leaseMs),
      retentionMs: this.#options.retentionMs,
      act: (id, action, known) => this.#writer.act(id, action, known),
      checkHeld: (now) => this.#checkHeld(now),
      judge: () => this.#propagation.judge(),
      purge: (endedBefore) => this.#purge(endedBefore),
      onError,
    });
    this.#alarm = new AlarmClock(clock, () => sweep.ring(), onError);
    this.#sweeper = new Loop(
      clock,
      sweepMs,
      async () => {
        const next = await sweep.run();
        if (next !== null) this.#alarm.set(next);
      },
      onError,
    );
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

  get registry(): Registry {
    return this.#store.registry;
  }

  get pollMs(): number | undefined {
    return this.#store.pollMs;
  }

  get clock(): Clock {
    return this.#clock;
  }

  async enqueue(task: NewTask): Promise<string> {
    this.#use();
    const now = this.clock.now();
    const record = toRecord(task, TASK, now, this.#rules);
    await this.#takeIn([record], now, () => 'task');
    return record.id;
  }

  async enqueueMany(tasks: readonly NewTask[]): Promise<EnqueuedTasks> {
    this.#use();
    const now = this.clock.now();
    const records = await validateBatch(tasks, now, this.#rules);
    await this.#takeIn(records, now);
    return enqueued(idsOf(records), this);
  }

  async enqueueChildren(parent: Task, tasks: readonly NewTask[]): Promise<string[]> {
    const fence = fenceOf(parent);
    this.#use();
    const now = this.clock.now();
    const record = await this.#writer.load(parent.id);
    const submission = readSubmission(record);
    // Checked before they inherit, so that an error names what was passed.
    await validateBatch(tasks, now, this.#rules);
    const children = tasks.map((task) => childOf(record, submission, task));
    const records = await validateBatch(children, now, { ...this.#rules, areChildren: true });
    await this.#writer.act(parent.id, { type: 'adopt', fence, ids: idsOf(records) });
    await this.#takeIn(records, now);
    return idsOf(records);
  }

  validate(task: NewTask): void {
    toRecord(task, TASK, this.clock.now(), this.#rules);
  }

  async dequeue(filter?: TaskFilter, options?: DequeueOptions): Promise<Task | null> {
    const [task] = await this.dequeueMany(1, filter, options);
    return task ?? null;
  }

  async dequeueMany(limit: number, filter: TaskFilter = {}, options: DequeueOptions = {}): Promise<Task[]> {
    const { start = false } = requireOptions(options, 'an object');
    this.#use();
    if (!Number.isInteger(limit) || limit < 1)
      throw new InvalidOptionError('limit', 'a whole number from 1', limit);
    const claimFilter = toClaimFilter(filter);
    const tasks: Task[] = [];
    // A damaged task is quarantined and must not stop the rest, so the claim goes on until it is filled or dry.
    for (;;) {
      const asked = Math.min(limit - tasks.length, CLAIM_TASKS_MAX);
      const claimed = this.#claim(asked, claimFilter, start);
      // What was claimed before is leased to the caller, who must get to know of it.
      const records = await (tasks.length === 0 ? claimed : claimed.catch((error) => this.#noMore(error)));
      await this.#admission.admit(records, start, tasks);
      if (records.length < asked) this.#observers.keptBack();
      if (this.#observers.hears('transition')) await this.#observers.tellLatest(idsOf(records));
      if (records.length === 0 || tasks.length === limit) return tasks;
      if (records.length < asked && tasks.length > 0) return tasks;
    }
  }

  async start(task: Task): Promise<Task> {
    const fence = fenceOf(task);
    this.#use();
    if (await this.#isPaused(task.id)) throw new QueuePausedError(task.id);
    return await this.#writer.act(task.id, { type: 'start', fence });
  }

  async heartbeat(task: Task): Promise<Task> {
    const fence = fenceOf(task);
    const beaten = await this.#writer.act(task.id, { type: 'heartbeat', fence });
    if (!isLeased(beaten.status)) throw new LeaseLostError(task.id, fence, 'the attempt timed out');
    return beaten;
  }

  async heartbeatMany(tasks: readonly Task[]): Promise<(Task | null)[]> {
    if (!Array.isArray(tasks)) throw new InvalidOptionError('tasks', 'a list of tasks', tasks);
    return Promise.all(
      tasks.map((task) =>
        this.heartbeat(task).catch((error: unknown) => {
          if (error instanceof LeaseLostError || error instanceof TaskNotFoundError) return null;
          throw error;
        }),
      ),
    );
  }

  /** Not `async`, which would be a second promise for each task. */
  settle(task: Task, outcome: Outcome, assignment?: Assignment): Promise<Task> {
    try {
      const fence = fenceOf(task);
      const ending = toEnding(outcome);
      const spent = toSpent(outcome);
      return this.#writer.act(
        task.id,
        { type: 'settle', fence, ending, assignment, spent },
        undefined,
        outcome.log,
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async assign(task: Task, assignment: Assignment): Promise<Task> {
    const fence = fenceOf(task);
    return await this.#writer.act(task.id, { type: 'assign', fence, assignment });
  }

  async recordEffects(task: Task, effects: readonly Effect[]): Promise<Task> {
    const fence = fenceOf(task);
    return await this.#writer.act(task.id, { type: 'record', fence, effects });
  }

  async updateStatus(id: string, status: TaskStatus, change: StatusChange = {}): Promise<Task> {
    this.#use();
    const isPaused = status === 'in_progress' && (await this.#isPaused(id));
    const note = toNote(change);
    // The action depends on where the task stands, so it is chosen anew with each record that is decided on.
    return await this.#writer.act(id, (record) => {
      const action = toStatusAction(record, status, change);
      if (action.type === 'start' && isPaused) throw new QueuePausedError(id);
      return { action, note };
    });
  }

  async cancel(id: string, reason?: string): Promise<Task> {
    return await this.#writer.act(id, { type: 'cancel', reason });
  }

  async retry(id: string): Promise<Task> {
    return await this.#writer.act(id, { type: 'redrive' });
  }

  async answer(id: string, interruptId: string, value: JsonValue): Promise<Task> {
    return await this.#writer.act(id, toAnswer(interruptId, value));
  }

  async decide(id: string, decision: ApprovalDecision): Promise<Task> {
    this.#use();
    return await this.#approvals.decide(id, toDecision(decision));
  }

  async getTask(id: string): Promise<Task | null> {
    this.#use();
    const [record] = await this.#store.get([id]);
    return record ? this.#view(record) : null;
  }

  async listTasks(query: ListTasksQuery = {}): Promise<TaskPage> {
    this.#use();
    // Whoever looks for what waits for people, e.g. right after opening the queue, finds what has fallen due by now.
    if ([query?.status].flat().includes('waiting')) await this.#approvals.open();
    return listTasks(this.#store, query, (record) => this.#view(record));
  }

  async history(id: string): Promise<TaskEvent[]> {
    this.#use();
    return this.#store.history(id);
  }

  async appendLogs(loggings: readonly Logging[]): Promise<boolean[]> {
    this.#use();
    return this.#store.appendLogs(loggings);
  }

  async log(id: string, after: number, limit: number): Promise<TaskLog> {
    this.#use();
    return this.#store.log(id, after, limit);
  }

  async stats(): Promise<QueueStats> {
    this.#use();
    const now = this.clock.now();
    const [counts, workers] = await Promise.all([this.#store.counts(now), liveWorkers(this.registry, now)]);
    return toStats(counts, workers, now);
  }

  async analytics(options: AnalyticsOptions = {}): Promise<QueueAnalytics> {
    const windowMs = checkWindow(options);
    this.#use();
    await this.#log.flush();
    const now = this.clock.now();
    const from = now - windowMs - ((now - windowMs) % MINUTE_MS);
    const [sum, { byStatus }, workers] = await Promise.all([
      countsSince(this.registry, from, now),
      this.#store.counts(now),
      liveWorkers(this.registry, now),
    ]);
    return toAnalytics(sum, [from, now], byStatus, workers);
  }

  async pause(target?: PauseTarget): Promise<void> {
    this.#use();
    await this.#setPaused(target, true);
    this.#observers.emit('paused', undefined);
  }

  async resume(target?: PauseTarget): Promise<void> {
    this.#use();
    await this.#setPaused(target, false);
    this.#observers.emit('resumed', undefined);
    this.#observers.emit('available', undefined);
    await this.#approvals.openExpected();
  }

  async setLimit(key: string, limit: Omit<Limit, 'key' | 'weight'>): Promise<void> {
    this.#use();
    await this.#store.setGates([toGateChange(key, limit)], this.clock.now());
    this.#observers.emit('available', undefined);
  }

  async limits(keys?: readonly string[]): Promise<LimitState[]> {
    this.#use();
    checkNames(typeof keys === 'string' ? [null] : keys, 'keys');
    const gates = await this.#store.gates(keys ?? null);
    const now = this.clock.now();
    return gates.flatMap((gate) => (gate && !gate.key.startsWith('@') ? [toLimitState(gate, now)] : []));
  }

  async explain(id: string): Promise<Explanation> {
    this.#use();
    return explain(this.#store, await this.#writer.load(id), this.clock.now());
  }

  async waitFor(id: string, options: WaitOptions = {}): Promise<Task> {
    this.#use();
    return this.#observers.waitFor(id, options);
  }

  on<E extends keyof QueueEvents>(event: E, listener: (value: QueueEvents[E]) => void): () => void {
    if (this.#closing) throw new ClosedError('the queue');
    return this.#observers.on(event, listener);
  }

  registerCondition(name: string, condition: ConditionFunction): void {
    this.#conditions.register(name, condition);
  }

  checkpointer(): Promise<unknown> {
    this.#checkpointer ??= this.makeCheckpointer();
    return this.#checkpointer;
  }

  /** Something went wrong in the background of a backend. */
  protected report(error: unknown): void {
    this.#observers.report(error);
  }

  /** Backends with a saver of their own override this. */
  protected async makeCheckpointer(): Promise<unknown> {
    const { FencedMemorySaver } = await import('../checkpoint/memory-saver.ts');
    const saver = new FencedMemorySaver();
    this.#threads = saver;
    return saver;
  }

  /**
   * Moves every task to another queue as it stands: waiting, delayed, blocked, asking, ended, with its history
   * and its checkpoints, so that it goes on there, and with it workflows, schedules, pauses and what was learned.
   * This queue is paused first and stays so, its schedules too; what runs may end.
   * Submissions that still come here go along until `follow` is aborted; cancel and answer in the new queue.
   * A move that was cut off is called again: nothing is lost, and nothing moved twice.
   *
   * @throws TimeoutError when tasks still run after `drainMs`; QUEUE_BUSY; QUEUE_MOVED for a move back.
   */
  async moveTo(target: StoredTaskQueue, options: MoveOptions = {}): Promise<MoveReport> {
    this.#use();
    target.#use();
    const report = await moveQueue(
      {
        source: this.#store,
        target: target.#store,
        clock: this.clock,
        sweep: () => this.#sweeper.runNow(),
        copyThreads: async (ids) => {
          if (ids.length === 0) return;
          const { copyThreads } = await import('../checkpoint/copy-threads.ts');
          const [from, to] = await Promise.all([this.checkpointer(), target.checkpointer()]);
          await copyThreads(from as never, to as never, ids);
        },
      },
      options,
    );
    await target.#sweeper.runNow();
    target.#observers.emit('available', undefined);
    return report;
  }

  close(): Promise<void> {
    this.#isOpen = false;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#observers.stop();
    await Promise.all([this.#sweeper.stop(), this.#alarm.stop()]);
    await this.#log.flush();
    this.#observers.clear();
    await this.#store.close();
  }

  /** The door of every verb: nothing runs in the background before the first one, or after close. */
  #use(): void {
    if (this.#isOpen) return;
    if (this.#closing) throw new ClosedError('the queue');
    this.#isOpen = true;
    this.#sweeper.start();
  }

  #claim(limit: number, filter: ClaimFilter | null, isStart: boolean): Promise<TaskRecord[]> {
    const now = this.clock.now();
    return this.#store.claim({
      limit,
      owner: this.owner,
      leaseExpiresAt: now + this.leaseMs,
      filter,
      to: isStart ? 'in_progress' : 'assigned',
      now,
    });
  }

  #noMore(error: unknown): TaskRecord[] {
    this.#observers.report(error);
    return [];
  }

  /**
   * Who waits for work is told before the insert is committed: a claim made in the same turn comes after it in
   * the same commit, and an idle worker starts one disk sync earlier.
   */
  async #takeIn(
    records: readonly SubmittedRecord[],
    now: number,
    at?: (index: number) => string,
  ): Promise<void> {
    const taken = takeIn(this.#store, records, now, at);
    this.#observers.foresee(records, now);
    const { inserted, effects } = await taken;
    this.#observers.welcome(inserted, now);
    this.#log.submitted(inserted, now);
    if (!isQuiet(effects)) await this.#propagation.follow(effects);
    if (!this.#watchOver(inserted)) return;
    this.#approvals.expect();
    await this.#approvals.open();
  }

  /** What is to be done about new tasks at a time of their own; whether there are approvals among them. */
  #watchOver(inserted: Intake['inserted']): boolean {
    let first = Number.POSITIVE_INFINITY;
    let isApproval = false;
    for (const { alarmAt, agentType, runAt } of inserted) {
      if (alarmAt !== null && alarmAt < first) first = alarmAt;
      if (agentType !== APPROVAL_TYPE) continue;
      isApproval = true;
      first = Math.min(first, runAt);
    }
    if (first !== Number.POSITIVE_INFINITY) this.#alarm.set(first);
    return isApproval;
  }

  #setPaused(target: PauseTarget | undefined, isPaused: boolean): Promise<void> {
    const key = toPausedKey(target);
    return key === null
      ? this.#store.setPaused(isPaused)
      : this.#store.setGates([{ key, isPaused }], this.clock.now());
  }

  /** Whether a claimed task must not start, since the queue, its agent, its type or one of its keys is paused. */
  async #isPaused(id: string): Promise<boolean> {
    if (await this.#store.isPaused()) return true;
    const [record] = await this.#store.get([id]);
    if (!record) return false;
    const keys = [...kindGates(record), ...(record.quota?.limits ?? []).map(({ key }) => key)];
    if (keys.length === 0) return false;
    return (await this.#store.gates(keys)).some((gate) => gate?.isPaused);
  }

  async #checkHeld(now: number): Promise<void> {
    // After a blocked event loop the sweep may come before any other look: who listens is told before it is forgotten.
    await this.#observers.checkHeld();
    this.#held.forgetExpired(now - this.leaseMs);
  }

  async #purge(endedBefore: number): Promise<number> {
    if (this.#closing) return 0;
    const { tasks, threads } = await this.#store.purge(endedBefore, STEP_TASKS_MAX);
    if (threads.length > 0) {
      await this.#threads?.deleteThreads(threads);
      this.#observers.emit('threadsPurged', threads);
    }
    if (tasks.length === 0) return 0;
    // What could not be removed only takes up space.
    await forgetEntriesOf(this.#store, tasks, () => this.clock.now()).catch((error) => this.report(error));
    this.#observers.emit('purged', tasks);
    await this.#observers.tellWaiters(tasks);
    return tasks.length;
  }

  #view(record: TaskRecord, submission = readSubmission(record)): Task {
    return toTask(record, submission, this.#defaults);
  }
}

function idsOf(records: readonly { readonly id: string }[]): string[] {
  return records.map((record) => record.id);
}
