import type { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';
import { systemClock } from '../clock.ts';
import { ClosedError, InvalidOptionError, TaskFailedError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { requireOptions } from '../options.ts';
import { MemoryTaskQueue } from '../queue/backends/memory/memory-task-queue.ts';
import { Batch, type EnqueuedTasks } from '../queue/batch.ts';
import type { Explanation } from '../queue/explanation.ts';
import { isLeased, type Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { liveWorkers, type Worker } from '../queue/workers.ts';
import type { Accounts } from './accounts.ts';
import { AgentCoordinator } from './agent-coordinator.ts';
import { AgentHost } from './agent-host.ts';
import { budgetAsked } from './budget-question.ts';
import { answerBudget, BudgetHandle, type BudgetOwner, scopeOfOwner } from './budgets.ts';
import type { CancelOptions, CancelReceipt } from './cancel-receipt.ts';
import { Cancellation } from './cancellation.ts';
import type { ConductorOptions, ProcessQueueOptions, ResultOptions, Verdict } from './conductor-options.ts';
import { saverFor } from './default-saver.ts';
import { DirectRun, endEvent, type RunOptions, type RunResult, threadBusy } from './direct-run.ts';
import { type Goal, type GoalOptions, toTask, toTasks } from './goal.ts';
import type { Checkpointer } from './graph.ts';
import { type InboxOptions, type InboxPage, inbox } from './inbox.ts';
import type { ProcessedCounts } from './manager-options.ts';
import { withTeam } from './modes.ts';
import type { RunEvent, TaskLifeEvent } from './run-events.ts';
import { RunStream } from './run-stream.ts';
import { Schedules } from './schedules.ts';
import type { SimulateOptions, SimulationReport } from './simulation.ts';
import { type EventsOptions, taskEvents } from './task-events.ts';
import { TaskQueueManager } from './task-queue-manager.ts';
import {
  type CheckpointsOptions,
  checkpointsOf,
  type RerunOptions,
  rerun,
  type TaskCheckpoint,
} from './time-travel.ts';
import { type UsageFor, type UsageOwner, usageOfOwner } from './usage-of.ts';
import type { Workflow } from './workflow.ts';
import type { WorkflowRun } from './workflow-run.ts';
import { type SubmitOptions, Workflows } from './workflows.ts';

/**
 * Runs goals on agents: at once with `run` and `stream`, or through a durable queue with `enqueueGoal` and
 * `processQueue`. Nothing is opened and no timer runs before the first call that needs it.
 */
export class Conductor<Name extends string = string> {
  /** What a TaskQueueManager runs tasks with. */
  readonly host: AgentHost;
  /** Goals that come again and again; every process that runs this queue's tasks keeps them. */
  readonly schedules: Schedules;
  readonly #givenQueue: TaskQueue | undefined;
  readonly #managers = new Set<TaskQueueManager>();
  readonly #workflows: Workflows;
  readonly #closing = new AbortController();
  #ownQueue: TaskQueue | undefined;

  /** @throws InvalidOptionError for an agent that is none. */
  constructor(options: ConductorOptions<Name>) {
    const {
      agents,
      queue,
      checkpointer,
      coordinator = new AgentCoordinator(),
      clock: givenClock,
      classify,
      onFailure,
      events,
      prices,
      ...modeOptions
    } = requireOptions(options, 'an object with agents');
    requireOptions(agents, 'agents by their names', 'agents');
    if (queue !== undefined && typeof queue?.dequeueMany !== 'function')
      throw new InvalidOptionError('queue', 'a TaskQueue', queue);
    this.#givenQueue = queue;
    const clock = givenClock ?? queue?.clock ?? systemClock;
    this.host = new AgentHost({
      ...withTeam<Name>({ agents, coordinator, clock, ...modeOptions }),
      coordinator,
      clock,
      checkpointer: () => saverFor(checkpointer, queue),
      deletesPurged: checkpointer !== undefined,
      failures: { classify, onFailure },
      recorded: events,
      prices,
    });
    this.schedules = new Schedules(
      () => this.queue,
      (goal, options) => toTask(this.host, { ...options, goal }),
      () => this.host.lookAtSchedules(this.queue),
    );
    this.#workflows = new Workflows({
      queue: () => this.queue,
      toTask: (goal, options) => toTask(this.host, { ...options, goal }),
    });
  }

  get queue(): TaskQueue {
    if (this.#givenQueue !== undefined) return this.#givenQueue;
    this.#refuseClosed();
    this.#ownQueue ??= new MemoryTaskQueue({ clock: this.host.clock });
    return this.#ownQueue;
  }

  get coordinator(): AgentCoordinator {
    return this.host.coordinator;
  }

  /** The saver of all graphs run here; it is made when first asked for. */
  get checkpointer(): Promise<BaseCheckpointSaver> {
    return this.host.checkpointer() as Promise<Checkpointer & BaseCheckpointSaver>;
  }

  /**
   * Runs a goal now, in this process, without the queue. A `threadId` whose last run did not finish is
   * resumed, with `answers` to its open questions; one that finished takes the goal on top of its state.
   * Rejects with what the graph throws, or with THREAD_BUSY while another run, or a task of the queue that
   * runs now, is on that thread.
   */
  async run(goal: string, options: RunOptions = {}): Promise<RunResult> {
    return this.host.keepAlive.during(this.#runDirectly(goal, options, undefined).end);
  }

  /** As `run`, with what the nodes do on the way; the last event is `completed` or `waiting`. Leaving early aborts the run. */
  stream(goal: string, options: RunOptions = {}): AsyncGenerator<RunEvent> {
    return new RunStream((onEvent) => {
      const { run, end } = this.#runDirectly(goal, options, onEvent);
      return { abort: () => run.abort(), end: this.host.keepAlive.during(end).then(endEvent) };
    });
  }

  /**
   * Puts a goal into the queue; resolves with the task's id when that is durable.
   *
   * @throws InvalidTaskError, also for an input key no channel takes, where the agent is known here.
   */
  async enqueueGoal(goal: string, options: GoalOptions = {}): Promise<string> {
    return this.queue.enqueue(toTask(this.host, { ...options, goal }));
  }

  /** All or none; the goals may depend on one another by their ids. The ids can be waited for as a batch. */
  async enqueueGoals(goals: readonly (string | Goal)[]): Promise<EnqueuedTasks> {
    return this.queue.enqueueMany(toTasks(this.host, goals));
  }

  /**
   * Puts a workflow into the queue, as a whole or not at all; resolves when it is durable. Its tasks have the ids
   * `<id>:<ref>`. The same workflow again under the same id changes nothing.
   *
   * @throws InvalidTaskError, UnknownDependencyError, DependencyCycleError, TooLargeError, each naming the place;
   * DuplicateTaskError for another workflow under this id.
   */
  async submit<Ref extends string>(
    workflow: Workflow<Ref>,
    options: SubmitOptions = {},
  ): Promise<WorkflowRun<Ref>> {
    return this.#workflows.submit(workflow, options);
  }

  /**
   * A workflow that was submitted, by whichever process.
   *
   * @typeParam Ref the refs it is known to have; they are not checked.
   * @throws JottyError with code WORKFLOW_NOT_FOUND.
   */
  async workflow<Ref extends string = string>(id: string): Promise<WorkflowRun<Ref>> {
    return this.#workflows.find<Ref>(id);
  }

  /** Tasks to wait for together, e.g. those of several `enqueueGoals`. Throws InvalidOptionError. */
  batch(ids: readonly string[]): Batch {
    return new Batch(ids, this.queue);
  }

  /**
   * The background loop: runs what the agents here can run until the signal, `maxTasks` or `untilEmpty` ends
   * it, or `close`. It goes on while the store is away, and rejects where no waiting mends it: STORE_CORRUPT,
   * SCHEMA_TOO_NEW, MISSING_PACKAGE, or a store that cannot be opened at the start. `untilEmpty` does not wait
   * for what only a person's answer or an agent of somebody else can set going.
   */
  async processQueue(options: ProcessQueueOptions = {}): Promise<ProcessedCounts> {
    const { signal, drainMs, onError, ...loop } = requireOptions(options, 'an object');
    this.#refuseClosed();
    const manager = new TaskQueueManager(this, this.queue, loop);
    if (onError !== undefined) manager.on('error', onError);
    const stop = () => void manager.stop(drainMs === undefined ? {} : { drainMs });
    if (signal?.aborted) return { completed: 0, failed: 0, waiting: 0 };
    signal?.addEventListener('abort', stop, { once: true });
    this.#managers.add(manager);
    try {
      manager.start();
      return await manager.done();
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#managers.delete(manager);
    }
  }

  /**
   * Waits for the task's end and returns its result: the graph's final state as JSON, or `toResult` of it.
   *
   * @typeParam T what the agent is known to return; it is not checked.
   * @throws TaskFailedError for a task that failed, was cancelled or skipped; TaskNotFoundError.
   */
  async result<T = JsonValue>(id: string, options: ResultOptions = {}): Promise<T> {
    const task = await this.host.keepAlive.during(this.queue.waitFor(id, options));
    if (task.status !== 'completed') throw new TaskFailedError(id, task.status, task.error);
    return (task.result ?? null) as T;
  }

  /**
   * Answers one of `task.interrupts` and lets the task go on. A second, different answer is refused. To a spent budget
   * the answer is `'raise'`, `{ raise: { tokens, … } }` or `'stop'`; with a raise all go on who wait for that budget.
   */
  async answer(id: string, interruptId: string, value: JsonValue): Promise<Task> {
    if (budgetAsked(interruptId) !== null)
      return answerBudget(this.#accounts, this.queue, id, interruptId, value);
    return this.queue.answer(id, interruptId, value);
  }

  /**
   * All that waits for people, oldest first: approvals, and the open questions of graphs.
   *
   * @throws InvalidOptionError
   */
  async inbox(options: InboxOptions = {}): Promise<InboxPage> {
    return inbox(this.queue, options);
  }

  /**
   * Approves a task that asks for it: it has completed, with who and why as its result. With `hash`, that of the
   * question that was read, nothing else is approved.
   *
   * @throws StaleApprovalError where the task or its input has changed: it is asked again. AlreadyDecidedError.
   */
  async approve(id: string, verdict: Verdict): Promise<Task> {
    return this.queue.decide(id, { ...verdict, approved: true });
  }

  /** Rejects a task that asks for approval: it has failed, with code REJECTED. Throws as `approve`. */
  async reject(id: string, verdict: Verdict): Promise<Task> {
    return this.queue.decide(id, { ...verdict, approved: false });
  }

  /**
   * Stops a task and all that it has enqueued. They are recorded as cancelled at once, and from then on nothing that
   * their runs still write is stored: no checkpoint, no effect, no result. Each run, in whichever process, gets its
   * signal, after `graceMs` its slot is taken back, and an isolated one is killed. Resolves when all have stopped; where
   * a process has died, at the end of its lease. With a reason alone there is no grace.
   *
   * @throws TaskNotFoundError, InvalidOptionError
   */
  async cancel(id: string, options: CancelOptions | string = {}): Promise<CancelReceipt> {
    const given = typeof options === 'string' ? { reason: options, graceMs: 0 } : options;
    return this.host.keepAlive.during(new Cancellation(this.host, this.queue).cancel(id, given));
  }

  /**
   * All that happens to a task, from its submission to its end, in whichever process: transitions, starts and ends
   * of nodes, custom chunks, questions, usage; numbered, the same for every reader. A reader that comes later, or
   * again, goes on after the number `since`. The newest LOG_ENTRIES_MAX events of its runs are kept, up to
   * LOG_BYTES_MAX, and a `gap` stands for those that were dropped. A slow reader delays nobody.
   *
   * @throws TaskNotFoundError
   */
  async *events(id: string, options: EventsOptions = {}): AsyncGenerator<TaskLifeEvent> {
    const release = this.host.keepAlive.hold();
    try {
      yield* taskEvents(this.queue, this.host.events, id, options);
    } finally {
      release();
    }
  }

  /**
   * What calls of models came to: of a task with those of its children as a tree, of an agent, a workflow, or a key of
   * limits or budgets. Counted durably when a call ends, by whichever process made it; also calls of attempts that
   * failed or crashed later, and of a worker that had lost its lease: they are paid for. A task's is purged with it.
   *
   * @throws InvalidOptionError
   */
  async usage<Owner extends UsageOwner>(of: Owner): Promise<UsageFor<Owner>> {
    return usageOfOwner(this.#accounts, this.queue, of);
  }

  /**
   * The budget of a task, a workflow or a key: how it stands, and the ways to set, raise or end it.
   *
   * @throws InvalidOptionError
   */
  budget(of: BudgetOwner | string): BudgetHandle {
    return new BudgetHandle(this.#accounts, () => this.queue, scopeOfOwner(of));
  }

  /**
   * The moments of a task's runs to which `rerun` can go back, newest first; those of subgraphs are not among them.
   *
   * @throws TaskNotFoundError; JottyError with code NO_GRAPH where the agent is not here or is no graph; InvalidOptionError.
   */
  async checkpoints(id: string, options: CheckpointsOptions = {}): Promise<TaskCheckpoint[]> {
    return checkpointsOf(this.host, this.queue, id, options);
  }

  /**
   * Enqueues a task that goes on from a checkpoint of another, on a thread of its own, and resolves with its id. Nodes
   * that had finished then do not run again, all later ones do: also calls by `once` and questions that were answered.
   * The old task and its thread stay as they are.
   *
   * @throws TaskNotFoundError, also after a purge; JottyError with code CHECKPOINT_NOT_FOUND or NO_GRAPH.
   */
  async rerun(id: string, options: RerunOptions): Promise<string> {
    return rerun(this.host, this.queue, id, options);
  }

  /** Why a task waits: all that keeps it back, and what would free it; nothing where a worker may claim it now. */
  async explain(id: string): Promise<Explanation> {
    return this.queue.explain(id);
  }

  /** The processes that run tasks of this queue now, with their agents, as they were last heard of. */
  async workers(): Promise<Worker[]> {
    return liveWorkers(this.queue.registry, this.queue.clock.now());
  }

  /**
   * What the queue's own history would have come to with another strategy, other limits or other agents: it is
   * replayed by the real scheduler on a virtual clock. Nothing is written. See SimulateOptions.
   */
  async simulate(options: SimulateOptions = {}): Promise<SimulationReport> {
    const { simulate } = await import('./simulation.ts');
    const { agents, coordinator } = this.host;
    const { strategy } = coordinator;
    return simulate({ queue: this.queue, agents: Object.fromEntries(agents), strategy }, options);
  }

  /** Stops what runs here, handing tasks back, and closes the queue if it is the conductor's own. */
  async close(): Promise<void> {
    this.#closing.abort(new ClosedError('the conductor'));
    await Promise.all([...this.#managers].map((manager) => manager.stop()));
    await this.host.close();
    await this.#ownQueue?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #accounts(): Accounts {
    return this.host.accounts(this.queue.registry);
  }

  #runDirectly(goal: string, options: RunOptions, onEvent: ((event: RunEvent) => void) | undefined) {
    this.#refuseClosed();
    const run = new DirectRun(this.host, goal, options, this.#closing.signal, () => this.queue);
    const end = this.#refuseLeased(options.threadId).then(() => run.run(onEvent));
    return { run, end };
  }

  /** A task's thread is its id: while somebody holds its lease, its checkpoints are not to be written by another. */
  async #refuseLeased(threadId: string | undefined): Promise<void> {
    const queue = this.#givenQueue ?? this.#ownQueue;
    if (threadId === undefined || queue === undefined) return;
    const task = await queue.getTask(threadId);
    if (task !== null && isLeased(task.status)) throw threadBusy(threadId, `task ${threadId} runs on it`);
  }

  #refuseClosed(): void {
    if (this.#closing.signal.aborted) throw new ClosedError('the conductor');
  }
}
