import { LeaseLostError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import type { RunnableBy } from '../queue/claim-filter.ts';
import type { Outcome, Task } from '../queue/task.ts';
import type { QueueEvents, TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import { Assigner } from './assigner.ts';
import { type PlannedClaim, planClaims, runnableBy } from './claim-plan.ts';
import { EventLoopTurn } from './event-loop-turn.ts';
import { HeldRun } from './held-run.ts';
import { HeldTask } from './held-task.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { Listeners } from './listeners.ts';
import { LongRuns } from './long-runs.ts';
import { LoopHealth } from './loop-health.ts';
import {
  DRAIN_MS,
  type ManagerEvents,
  type ManagerStatus,
  type ProcessedCounts,
  type ResolvedManagerOptions,
  resolveManagerOptions,
  STOP_SETTLE_MS,
  type StopOptions,
  type TaskQueueManagerOptions,
} from './manager-options.ts';
import { isRefused, RunAborted } from './outcome-of.ts';
import { Prefetch } from './prefetch.ts';
import { Roster } from './roster.ts';
import { Settler } from './settler.ts';
import { Slots } from './slots.ts';
import { Wakeup, within } from './wakeup.ts';
import { hasWorkLeft } from './work-left.ts';

/** Ended tasks on their way to the store; with more, nothing is claimed. */
const SETTLING_MAX_FACTOR = 20;
/** Errors of the store that no waiting mends: the loop ends with them. */
const FATAL_CODES: ReadonlySet<unknown> = new Set(['STORE_CORRUPT', 'SCHEMA_TOO_NEW', 'MISSING_PACKAGE']);

/** Feeds the tasks of a queue to the agents of a conductor. One may be started and stopped once. */
export class TaskQueueManager {
  readonly #host: AgentHost;
  readonly #queue: TaskQueue;
  readonly #options: ResolvedManagerOptions;
  readonly #slots: Slots<HeldTask>;
  readonly #prefetch: Prefetch;
  readonly #held = new Roster<HeldTask>();
  readonly #listeners = new Listeners<ManagerEvents>();
  readonly #wakeup: Wakeup;
  readonly #health: {
    readonly claim: LoopHealth;
    readonly heartbeat: LoopHealth;
    readonly settle: LoopHealth;
    readonly saver: LoopHealth;
  };
  readonly #keeper: LeaseKeeper;
  readonly #settler: Settler;
  readonly #longRuns: LongRuns;
  readonly #assigner: Assigner;
  readonly #heldRun: HeldRun;
  readonly #turn = new EventLoopTurn();
  readonly #undo: (() => void)[] = [];
  readonly #counts = { completed: 0, failed: 0, waiting: 0 };
  /** The filter for all agents, where none of them has a limit of its own. */
  readonly #everyone: RunnableBy | undefined;
  #state: ManagerStatus['state'] = 'new';
  #taken = 0;
  #slotsUsed = 0;
  #settling = 0;
  #fatal: { readonly error: unknown } | undefined;
  #loop: Promise<void> = Promise.resolve();
  #stop: Promise<void> | undefined;
  #requestStop: () => void = () => {};
  #endDuty: () => Promise<void> = async () => {};
  readonly #stopRequested = new Promise<void>((resolve) => {
    this.#requestStop = resolve;
  });
  #whenQuiet: (() => void)[] = [];

  /** @throws InvalidOptionError */
  constructor(
    conductor: { readonly host: AgentHost; readonly queue: TaskQueue },
    queue: TaskQueue = conductor?.queue,
    options: TaskQueueManagerOptions = {},
  ) {
    this.#host = requireOptions(conductor?.host, 'a Conductor', 'conductor');
    this.#queue = queue;
    this.#options = resolveManagerOptions({ ...options, pollMs: options.pollMs ?? queue.pollMs });
    const agents = [...conductor.host.agents.values()];
    const isUnlimited = agents.length > 0 && agents.every((agent) => agent.maxConcurrent === Infinity);
    this.#everyone = isUnlimited ? runnableBy(agents) : undefined;
    this.#prefetch = new Prefetch(this.#options.prefetch);
    this.#slots = new Slots(this.#options.maxConcurrent, (held) => this.#run(held), this.#report);
    this.#wakeup = new Wakeup(queue.clock);
    const health = () => new LoopHealth(queue.clock, this.#options.random);
    this.#health = { claim: health(), heartbeat: health(), settle: health(), saver: health() };
    this.#keeper = new LeaseKeeper(queue, this.#held, this.#health.heartbeat, this.#report);
    this.#settler = new Settler(queue, this.#health.settle, this.#report);
    this.#assigner = new Assigner(this.#host, queue, this.#report);
    this.#heldRun = new HeldRun({
      host: this.#host,
      queue,
      health: this.#health.saver,
      onStarted: (started) => this.#listeners.emit('started', started),
    });
    this.#longRuns = new LongRuns({
      queue,
      prefetch: this.#prefetch,
      held: () => this.#held.all(),
      handBack: (queued) => this.#handBackQueued(queued, 'handed back: runs became long'),
    });
  }

  /**
   * Starts claiming. Calling it again changes nothing. Where the store cannot be opened it throws that error,
   * has left nothing behind, and may be called again.
   */
  start(): void {
    if (this.#state !== 'new') return;
    try {
      this.#undo.push(this.#host.keepAlive.hold());
      this.#undo.push(this.#queue.on('available', () => this.#wakeup.notify()));
      this.#undo.push(this.#queue.on('leaseLost', (lost) => this.#loseLease(lost)));
      this.#host.followPurges(this.#queue);
      this.#endDuty = this.#host.takeDuty(this.#queue, this.#report);
    } catch (error) {
      this.#undoStart();
      throw error;
    }
    this.#state = 'running';
    this.#loop = this.#claimLoop().catch(this.#report);
  }

  /**
   * Resolves when it has stopped: by `stop`, `maxTasks` or `untilEmpty`. Rejects where an error of the store
   * ended it that no waiting mends: STORE_CORRUPT, SCHEMA_TOO_NEW, MISSING_PACKAGE.
   */
  async done(): Promise<ProcessedCounts> {
    await this.#loop;
    await (this.#stop ?? this.stop());
    if (this.#fatal !== undefined) throw this.#fatal.error;
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
    const held = this.#held.all();
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
      const turn = this.#turn.due();
      if (turn !== undefined) await turn;
      if (claimed === 0 && !this.#assigner.looksOn()) {
        if (await this.#isDone()) return;
        await this.#wakeup.wait(pollMs);
      }
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
    if (this.#state !== 'running' || isFull || this.#settler.refusals.isAny) return [];
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
      this.#endIfHopeless(failure.reason);
      await within(this.#queue.clock, waitMs, this.#stopRequested);
      return -1;
    }
    return begun;
  }

  #endIfHopeless(error: unknown): void {
    const code: unknown = (error as { code?: unknown } | null)?.code;
    if (code === 'CLOSED') void this.stop({ drainMs: 0 });
    if (!FATAL_CODES.has(code)) return;
    this.#fatal ??= { error };
    // What runs may still end and be recorded: a file that refuses claims may take settlements.
    void this.stop();
  }

  #begin(task: Task): number {
    if (this.#isStopping() || this.#settler.refusals.concern(task)) {
      this.#assigner.handBack(task, this.#isStopping() ? 'the worker stops' : 'handed back: too many calls');
      return 0;
    }
    const assignment = this.#assigner.assign(task);
    if (assignment === null) return 0;
    const held = new HeldTask(task, this.#host.get(assignment.agent), assignment, this.#queue.clock.now());
    this.#taken += 1;
    this.#slotsUsed += 1;
    this.#held.add(held);
    this.#keeper.watch();
    this.#longRuns.watch();
    this.#slots.add(held);
    return 1;
  }

  #queued(): HeldTask[] {
    return this.#held.all().filter(({ phase }) => phase === 'queued');
  }

  /** Tasks claimed ahead go back uncharged, without waiting for the slots they were meant for. */
  #handBackQueued(queued: readonly HeldTask[], reason: string): void {
    this.#slots.clear();
    for (const held of queued) {
      held.phase = 'settling';
      this.#slotsUsed -= 1;
      this.#taken -= 1;
      this.#host.coordinator.release(held.agent.name);
      this.#settling += 1;
      void this.#settle(held, { status: 'released', reason, hasBegun: false });
    }
    this.#tellIfQuiet();
  }

  async #run(held: HeldTask): Promise<void> {
    const turn = this.#turn.due();
    if (turn !== undefined) await turn;
    if (held.phase !== 'queued') return;
    const outcome = await this.#heldRun.run(held);
    held.phase = 'settling';
    this.#slotsUsed -= 1;
    this.#learn(held, outcome);
    this.#settling += 1;
    void this.#settle(held, outcome);
    if (isRefused(outcome)) this.#handBackQueued(this.#queued(), 'handed back: too many calls');
    this.#tellIfQuiet();
    this.#wakeup.notify();
  }

  #learn(held: HeldTask, outcome: Outcome | null): void {
    const { coordinator, clock } = this.#host;
    const ms = Math.max(0, clock.now() - held.startedAt);
    this.#prefetch.ran(ms);
    const isJudged = outcome?.status === 'completed' || outcome?.status === 'failed';
    if (isJudged && !isRefused(outcome)) {
      coordinator.recordOutcome(held.agent.name, held.task, outcome.status === 'completed', ms);
    } else coordinator.release(held.agent.name);
    held.endedTurn = coordinator.turn;
  }

  async #settle(held: HeldTask, outcome: Outcome | null): Promise<void> {
    try {
      const task = outcome === null ? null : await this.#settler.settle(held, outcome);
      if (task !== null) this.#count(task);
      else this.#listeners.emit('leaseLost', { taskId: held.task.id, fence: held.fence });
      if (task === null && held.abortReason === undefined) await this.#heldRun.hadStopped(held);
    } finally {
      if (held.log !== undefined) this.#host.events.close(held.log);
      this.#held.remove(held);
      this.#settling -= 1;
      this.#tellIfQuiet();
      if (this.#settling === 0 || isRefused(outcome)) this.#wakeup.notify();
    }
  }

  #count(task: Task): void {
    const { status } = task;
    if (status === 'completed' || status === 'failed' || status === 'waiting') this.#counts[status] += 1;
    this.#listeners.emit('settled', task);
    if (status === 'waiting') this.#host.goOnIfRaised(this.#queue, task).catch(this.#report);
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
      this.#endIfHopeless(error);
      return false;
    }
  }

  async #drain(drainMs: number): Promise<void> {
    const { clock } = this.#queue;
    this.#state = 'stopping';
    this.#requestStop();
    this.#wakeup.notify();
    const held = this.#held.all();
    this.#handBackQueued(this.#queued(), 'handed back before it began');
    for (const { control } of held) control.requestDrain('shutdown');
    const isDrained = this.#quiet(() => this.#slotsUsed === 0);
    await within(clock, drainMs, isDrained);
    for (const held of this.#held.all()) held.abort(new RunAborted('shutdown', 'handed back at shutdown'));
    const isSettled = this.#quiet(() => this.#slotsUsed === 0 && this.#settling === 0);
    if (!(await within(clock, STOP_SETTLE_MS, Promise.all([isSettled, this.#loop])))) this.#settler.abandon();
    this.#keeper.stop();
    this.#longRuns.stop();
    await within(clock, STOP_SETTLE_MS, this.#endDuty());
    this.#undoStart();
    this.#state = 'stopped';
  }

  #undoStart(): void {
    for (const undo of this.#undo.splice(0)) undo();
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

  #loseLease({ taskId, fence, reason }: QueueEvents['leaseLost']): void {
    const held = this.#held.all().find((one) => one.task.id === taskId && one.fence === fence);
    if (held === undefined) return;
    held.abort(
      reason === 'cancelled'
        ? new RunAborted('cancelled', 'the task was cancelled')
        : new LeaseLostError(taskId, fence, reason),
    );
    if (held.phase === 'queued') void this.#heldRun.hadStopped(held);
  }

  readonly #report = (error: unknown): void => {
    this.#listeners.emit('error', error instanceof Error ? error : new Error(String(error)));
  };
}
