import PQueue from 'p-queue';
import { LeaseLostError, TimeoutError } from '../errors.ts';
import type { RunnableBy } from '../queue/claim-filter.ts';
import type { Outcome, Task } from '../queue/task.ts';
import type { Assignment, QueueEvents, TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import { type PlannedClaim, planClaims, runnableBy } from './claim-plan.ts';
import { HeldTask } from './held-task.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { Listeners } from './listeners.ts';
import { LoopHealth } from './loop-health.ts';
import {
  type ManagerEvents,
  type ManagerStatus,
  type ProcessedCounts,
  resolveManagerOptions,
  type StopOptions,
  type TaskQueueManagerOptions,
} from './manager-options.ts';
import { outcomeOf, RunAborted } from './outcome-of.ts';
import { Prefetch } from './prefetch.ts';
import { Settler } from './settler.ts';
import { Wakeup, within } from './wakeup.ts';
import { hasWorkLeft } from './work-left.ts';

export const DRAIN_MS = 10_000;
/** How long `stop` waits for the store to take the last outcomes, ms; then leases expire by themselves. */
export const STOP_SETTLE_MS = 5_000;
/** Runs longer than this get their agent recorded while they run, ms; others with their end. */
const RECORD_ASSIGNMENT_AFTER_MS = 100;
/** A task no agent took, e.g. by a strategy of the app's own, is handed back for this long, ms. */
const UNASSIGNED_DELAY_MS = 1_000;
/** Ended tasks on their way to the store; with more, nothing is claimed. */
const SETTLING_MAX_FACTOR = 20;

/** Feeds the tasks of a queue to the agents of a conductor. One may be started and stopped once. */
export class TaskQueueManager {
  readonly #host: AgentHost;
  readonly #queue: TaskQueue;
  readonly #options: Required<TaskQueueManagerOptions>;
  readonly #slots: PQueue;
  readonly #prefetch: Prefetch;
  readonly #held = new Map<string, HeldTask>();
  readonly #listeners = new Listeners<ManagerEvents>();
  readonly #wakeup: Wakeup;
  readonly #health: {
    readonly claim: LoopHealth;
    readonly heartbeat: LoopHealth;
    readonly settle: LoopHealth;
  };
  readonly #keeper: LeaseKeeper;
  readonly #settler: Settler;
  readonly #undo: (() => void)[] = [];
  readonly #counts = { completed: 0, failed: 0, waiting: 0 };
  /** The filter for all agents, where none of them has a limit of its own. */
  readonly #everyone: RunnableBy | undefined;
  #state: ManagerStatus['state'] = 'new';
  #taken = 0;
  #slotsUsed = 0;
  #settling = 0;
  #recordTimer: unknown;
  #loop: Promise<void> = Promise.resolve();
  #stop: Promise<void> | undefined;
  #requestStop: () => void = () => {};
  readonly #stopRequested = new Promise<void>((resolve) => {
    this.#requestStop = resolve;
  });
  #whenQuiet: (() => void)[] = [];

  /** @throws InvalidOptionError */
  constructor(
    conductor: { readonly host: AgentHost; readonly queue: TaskQueue },
    queue: TaskQueue = conductor.queue,
    options: TaskQueueManagerOptions = {},
  ) {
    this.#host = conductor.host;
    this.#queue = queue;
    this.#options = resolveManagerOptions(options);
    const agents = [...conductor.host.agents.values()];
    const isUnlimited = agents.length > 0 && agents.every((agent) => agent.maxConcurrent === Infinity);
    this.#everyone = isUnlimited ? runnableBy(agents) : undefined;
    this.#prefetch = new Prefetch(this.#options.prefetch);
    this.#slots = new PQueue({ concurrency: this.#options.maxConcurrent });
    this.#wakeup = new Wakeup(queue.clock);
    const health = () => new LoopHealth(queue.clock, this.#options.random);
    this.#health = { claim: health(), heartbeat: health(), settle: health() };
    this.#keeper = new LeaseKeeper(queue, this.#health.heartbeat, this.#report);
    this.#settler = new Settler(queue, this.#health.settle, this.#report);
  }

  /** Starts claiming. Calling it again changes nothing. */
  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    this.#undo.push(
      this.#host.keepAlive.hold(),
      this.#queue.on('available', () => this.#wakeup.notify()),
      this.#queue.on('leaseLost', (lost) => this.#loseLease(lost)),
    );
    this.#loop = this.#claimLoop().catch(this.#report);
  }

  /** Resolves when it has stopped: by `stop`, `maxTasks` or `untilEmpty`. */
  async done(): Promise<ProcessedCounts> {
    await this.#loop;
    await (this.#stop ?? this.stop());
    return { ...this.#counts };
  }

  /**
   * Claims nothing more; runs end at their next superstep, and what still runs after `drainMs` is aborted.
   * Both are handed back without charging an attempt. Leases are kept meanwhile. Resolves when all of it is
   * recorded, or STOP_SETTLE_MS after the drain. Several calls share one promise.
   */
  stop({ drainMs = DRAIN_MS }: StopOptions = {}): Promise<void> {
    this.#stop ??= this.#drain(drainMs);
    return this.#stop;
  }

  /** Claims nothing until `resume`; what runs goes on. Only this manager: `queue.pause()` is for all. */
  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    this.#wakeup.notify();
  }

  status(): ManagerStatus {
    const held = [...this.#held.values()];
    const { claim, heartbeat, settle } = this.#health;
    return {
      state: this.#state,
      running: held
        .filter(({ phase }) => phase === 'running')
        .map(({ task, agent, startedAt }) => ({ taskId: task.id, agent: agent.name, startedAt })),
      waiting: held.filter(({ phase }) => phase === 'queued').length,
      settling: this.#settling,
      processed: { ...this.#counts },
      loops: { claim: claim.status, heartbeat: heartbeat.status, settle: settle.status },
    };
  }

  on<E extends keyof ManagerEvents>(event: E, listener: (value: ManagerEvents[E]) => void): () => void {
    return this.#listeners.on(event, listener);
  }

  async #claimLoop(): Promise<void> {
    const { pollMs } = this.#options;
    while (!this.#isStopping()) {
      const claims = this.#plan();
      const claimed = claims.length === 0 ? 0 : await this.#claim(claims);
      if (claimed !== 0) continue;
      if (await this.#isDone()) return;
      await this.#wakeup.wait(pollMs);
      // Runs that end in one turn of the loop free their slots in one claim, which shares a commit with their outcomes.
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
  }

  #isStopping(): boolean {
    return this.#state === 'stopping' || this.#state === 'stopped';
  }

  #plan(): PlannedClaim[] {
    const { maxConcurrent, maxTasks } = this.#options;
    const prefetch = this.#prefetch.tasks;
    const isFull = this.#settling > SETTLING_MAX_FACTOR * (maxConcurrent + prefetch);
    if (this.#state !== 'running' || isFull) return [];
    const slots = Math.min(maxConcurrent + prefetch - this.#slotsUsed, maxTasks - this.#taken);
    if (slots <= 0) return [];
    if (this.#everyone !== undefined) return [{ limit: slots, runnableBy: this.#everyone }];
    const capacities = [...this.#host.agents.values()].map((agent) => ({
      agent,
      free: agent.maxConcurrent - this.#host.coordinator.load(agent.name),
    }));
    return planClaims(slots, capacities);
  }

  /** How many tasks were begun; −1 after an error and its back-off. */
  async #claim(claims: readonly PlannedClaim[]): Promise<number> {
    const results = await Promise.allSettled(
      claims.map(({ limit, runnableBy }) => this.#queue.dequeueMany(limit, { runnableBy }, { start: true })),
    );
    let begun = 0;
    let failure: PromiseRejectedResult | undefined;
    for (const result of results) {
      if (result.status === 'rejected') failure = result;
      else for (const task of result.value) begun += this.#begin(task);
    }
    if (failure === undefined) this.#health.claim.succeeded();
    else {
      const waitMs = this.#health.claim.failed(failure.reason);
      this.#report(failure.reason);
      if ((failure.reason as { code?: unknown } | null)?.code === 'CLOSED') void this.stop({ drainMs: 0 });
      await within(this.#queue.clock, waitMs, this.#stopRequested);
      return -1;
    }
    return begun;
  }

  #begin(task: Task): number {
    const assignment = this.#isStopping() ? null : this.#choose(task);
    const agent = assignment === null ? undefined : this.#host.agents.get(assignment.agent);
    if (assignment === null || agent === undefined) {
      void this.#handBack(task);
      return 0;
    }
    const held = new HeldTask(task, agent, assignment);
    this.#taken += 1;
    this.#slotsUsed += 1;
    this.#held.set(task.id, held);
    this.#keeper.hold(held);
    this.#recordTimer ??= this.#queue.clock.setTimeout(this.#recordLongRuns, RECORD_ASSIGNMENT_AFTER_MS);
    this.#slots.add(() => this.#run(held)).catch(this.#report);
    return 1;
  }

  /** A thread belongs to the agent that began it, where that agent is here. */
  #choose(task: Task): Assignment | null {
    const { coordinator, agents } = this.#host;
    const bound =
      task.agent === undefined && task.assignedAgent !== undefined && agents.has(task.assignedAgent);
    try {
      return coordinator.choose(bound ? { ...task, agent: task.assignedAgent! } : task);
    } catch (error) {
      this.#report(error);
      return null;
    }
  }

  async #handBack(task: Task): Promise<void> {
    const runAt = this.#isStopping() ? {} : { runAt: this.#queue.clock.now() + UNASSIGNED_DELAY_MS };
    await this.#queue
      .settle(task, { status: 'released', reason: 'not assigned', ...runAt })
      .catch(this.#report);
  }

  async #run(held: HeldTask): Promise<void> {
    const outcome = await this.#attempt(held);
    held.phase = 'settling';
    this.#slotsUsed -= 1;
    this.#learn(held, outcome);
    this.#settling += 1;
    void this.#settle(held, outcome);
    this.#tellIfQuiet();
    this.#wakeup.notify();
  }

  async #attempt(held: HeldTask): Promise<Outcome | null> {
    const { task } = held;
    const { clock } = this.#queue;
    let timer: unknown;
    try {
      if (held.abortReason !== undefined) throw held.abortReason;
      // It was fetched ahead, or the event loop was blocked: the lease is proved before the start.
      if ((task.lease?.expiresAt ?? 0) <= clock.now()) held.task = await this.#queue.heartbeat(task);
      held.phase = 'running';
      held.startedAt = clock.now();
      const timeoutMs = task.timeoutMs ?? held.agent.timeoutMs ?? this.#queue.timeoutMs;
      if (timeoutMs !== undefined) {
        const expire = () => held.abort(new TimeoutError(`the attempt took longer than ${timeoutMs} ms`));
        timer = clock.setTimeout(expire, timeoutMs);
      }
      this.#listeners.emit('started', { task, agent: held.agent.name });
      return await held.untilAborted(this.#runAgent(held));
    } catch (error) {
      return outcomeOf(error, held.abortReason, task.id);
    } finally {
      if (timer !== undefined) clock.clearTimeout(timer);
    }
  }

  /** Where several agents could have taken the task, the choice is stored before its graph writes a checkpoint. */
  async #runAgent(held: HeldTask) {
    const { task, agent, assignment } = held;
    const isOpen = assignment.scores.length > 1 && agent.graph !== undefined;
    if (isOpen && task.assignedAgent !== agent.name) {
      held.isRecorded = true;
      await this.#queue.assign(task, assignment);
    }
    return this.#host.runHeld(held);
  }

  #learn({ agent, task, startedAt }: HeldTask, outcome: Outcome | null): void {
    const { coordinator, clock } = this.#host;
    const ms = clock.now() - startedAt;
    this.#prefetch.ran(ms);
    if (outcome?.status === 'completed' || outcome?.status === 'failed') {
      coordinator.recordOutcome(agent.name, task, outcome.status === 'completed', ms);
    } else coordinator.release(agent.name);
  }

  async #settle(held: HeldTask, outcome: Outcome | null): Promise<void> {
    try {
      const task = outcome === null ? null : await this.#settler.settle(held, outcome);
      if (task === null) this.#listeners.emit('leaseLost', { taskId: held.task.id, fence: held.fence });
      else this.#count(task);
    } finally {
      this.#keeper.drop(held);
      if (this.#held.get(held.task.id) === held) this.#held.delete(held.task.id);
      this.#settling -= 1;
      this.#tellIfQuiet();
      if (this.#settling === 0) this.#wakeup.notify();
    }
  }

  #count(task: Task): void {
    const { status } = task;
    if (status === 'completed' || status === 'failed' || status === 'waiting') this.#counts[status] += 1;
    this.#listeners.emit('settled', task);
  }

  async #isDone(): Promise<boolean> {
    const { untilEmpty, maxTasks } = this.#options;
    if (this.#slotsUsed > 0 || this.#settling > 0 || this.#isStopping()) return false;
    if (this.#taken >= maxTasks) return true;
    if (!untilEmpty) return false;
    try {
      return !(await hasWorkLeft(this.#queue, this.#host.mayRun));
    } catch (error) {
      this.#health.claim.failed(error);
      this.#report(error);
      return false;
    }
  }

  async #drain(drainMs: number): Promise<void> {
    const { clock } = this.#queue;
    this.#state = 'stopping';
    this.#requestStop();
    this.#wakeup.notify();
    for (const held of this.#held.values()) {
      if (held.phase === 'queued') held.abort(new RunAborted('shutdown', 'handed back before it began'));
      else held.control.requestDrain('shutdown');
    }
    await within(
      clock,
      drainMs,
      this.#quiet(() => this.#slotsUsed === 0),
    );
    for (const held of this.#held.values()) held.abort(new RunAborted('shutdown', 'handed back at shutdown'));
    const isSettled = this.#quiet(() => this.#slotsUsed === 0 && this.#settling === 0);
    if (!(await within(clock, STOP_SETTLE_MS, Promise.all([isSettled, this.#loop])))) this.#settler.abandon();
    this.#keeper.stop();
    clock.clearTimeout(this.#recordTimer);
    for (const undo of this.#undo.splice(0)) undo();
    this.#state = 'stopped';
  }

  async #quiet(isQuiet: () => boolean): Promise<void> {
    while (!isQuiet()) {
      await new Promise<void>((resolve) => {
        this.#whenQuiet.push(resolve);
      });
    }
  }

  #tellIfQuiet(): void {
    for (const resolve of this.#whenQuiet.splice(0)) resolve();
  }

  readonly #recordLongRuns = (): void => {
    this.#recordTimer = undefined;
    if (this.#slotsUsed === 0) return;
    const { clock } = this.#queue;
    this.#recordTimer = clock.setTimeout(this.#recordLongRuns, RECORD_ASSIGNMENT_AFTER_MS);
    const before = clock.now() - RECORD_ASSIGNMENT_AFTER_MS;
    for (const held of this.#held.values()) {
      if (held.isRecorded || held.phase !== 'running' || held.startedAt > before) continue;
      held.isRecorded = true;
      // The end records it again; until then it is only missing from the view.
      this.#queue.assign(held.task, held.assignment).catch(() => {});
    }
  };

  #loseLease({ taskId, fence, reason }: QueueEvents['leaseLost']): void {
    const held = this.#held.get(taskId);
    if (held === undefined || held.fence !== fence) return;
    held.abort(
      reason === 'cancelled'
        ? new RunAborted('cancelled', 'the task was cancelled')
        : new LeaseLostError(taskId, fence, reason),
    );
  }

  readonly #report = (error: unknown): void => {
    this.#listeners.emit('error', error instanceof Error ? error : new Error(String(error)));
  };
}
