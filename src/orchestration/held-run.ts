import { AgentCrashedError, LeaseLostError } from '../errors.ts';
import type { Effect } from '../queue/effects.ts';
import { isEnded, type Outcome, type Task, type TaskInterrupt } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { isResumable } from './agent.ts';
import type { AgentHost, HeldContext } from './agent-host.ts';
import type { AttemptEnd } from './attempt.ts';
import { answerAll } from './budgets.ts';
import { awaitedChildren, childrenAnswers, isChildrenWait } from './children.ts';
import { givenUp, nextOutcome } from './failure-policy.ts';
import { type Goal, toTasks } from './goal.ts';
import { GraphChangedError } from './graph-verdict.ts';
import type { HeldTask } from './held-task.ts';
import type { LoopHealth } from './loop-health.ts';
import { hasBudget, isCallAlive, metered, placesOf } from './metering.ts';
import { outcomeOf } from './outcome-of.ts';
import { RunLimits } from './run-limits.ts';
import { RunStops } from './run-stops.ts';
import { namedThreadOf, OPEN_THREAD_MS, OpenThreadError, type SharedThread } from './shared-thread.ts';
import { UsageMeter } from './usage-meter.ts';
import { givenByWorkflow, membershipOf, type WorkflowMembership } from './workflow-membership.ts';

export interface HeldRunOptions {
  readonly host: AgentHost;
  readonly queue: TaskQueue;
  /** How the store of the checkpoints is doing. */
  readonly health: LoopHealth;
  readonly onStarted: (started: { readonly task: Task; readonly agent: string }) => void;
}

/** Runs held tasks, each within its time, and says what came of them. */
export class HeldRun {
  readonly #options: HeldRunOptions;
  readonly #stops: RunStops;

  constructor(options: HeldRunOptions) {
    this.#options = options;
    this.#stops = new RunStops(options.host, options.queue);
  }

  /** Its task was cancelled before it began, or after it had ended: whoever waits for its stop is told. */
  hadStopped(held: HeldTask): Promise<void> {
    return this.#stops.hadStopped(held);
  }

  /** null where the task is no longer ours to settle. Never rejects. */
  async run(held: HeldTask): Promise<Outcome | null> {
    const { host, queue, health, onStarted } = this.#options;
    const { task } = held;
    const { clock } = queue;
    const limits = new RunLimits(held, queue);
    held.phase = 'running';
    held.startedAt = clock.now();
    const ended = givenUp(task);
    if (ended !== null) return ended;
    try {
      if (held.abortReason !== undefined) throw held.abortReason;
      // It was fetched ahead, or the event loop was blocked: the lease is proved before the start.
      if ((task.lease?.expiresAt ?? 0) <= held.startedAt) {
        held.task = await host.storeErrors.from(queue.heartbeat(task));
        held.startedAt = clock.now();
      }
      limits.start();
      held.log = host.events.open(queue, task.id, held.fence);
      onStarted({ task, agent: held.agent.name });
      const end = await held.untilAborted(held.body.during(this.#runAgent(held)));
      health.succeeded();
      host.otherVersions.forget(task.id);
      if (end.status === 'waiting') this.#recordQuestions(held, end.interrupts);
      const tasks = awaitedChildren(end);
      return tasks === null ? end : { ...(end as Extract<AttemptEnd, { status: 'waiting' }>), tasks };
    } catch (error) {
      // The saver may learn it before the heartbeat does: what else the run has begun is told too.
      if (error instanceof LeaseLostError && error.taskId === task.id) held.abort(error);
      if (held.abortReason === undefined && isOtherHolder(error, task)) return this.#nextTurn(error);
      if (held.abortReason === undefined && error instanceof GraphChangedError)
        return this.#elsewhere(held, error);
      if (held.abortReason === undefined && host.storeErrors.has(error)) return this.#later(error);
      return this.#failed(held, outcomeOf(error, held.abortReason, task.id));
    } finally {
      limits.stop();
      if (held.abortReason !== undefined) await this.#stops.stop(held);
    }
  }

  #recordQuestions({ log }: HeldTask, interrupts: readonly TaskInterrupt[]): void {
    const at = this.#options.queue.clock.now();
    for (const { id, value } of interrupts) log?.record({ type: 'interrupt', id, value: value ?? null, at });
  }

  #failed({ task, agent }: HeldTask, outcome: Outcome | null): Outcome | null {
    if (outcome?.status !== 'failed') return outcome;
    if (outcome.error instanceof AgentCrashedError) return { ...outcome, crashed: true };
    const { host, queue } = this.#options;
    return nextOutcome(outcome, task, agent, host.failures, queue.clock.now());
  }

  /** A full disk or a store that is away is no fault of the agent's: the task goes on from its last checkpoint, uncharged. */
  #later(error: unknown): Outcome {
    const { queue, health } = this.#options;
    const runAt = Math.ceil(queue.clock.now() + health.failed(error));
    return { status: 'released', reason: error instanceof Error ? error.message : String(error), runAt };
  }

  /** A worker with its version may take it, or this one after the next deploy. That costs nothing. */
  #elsewhere({ task }: HeldTask, error: GraphChangedError): Outcome {
    const { host, queue } = this.#options;
    const runAt = queue.clock.now() + host.otherVersions.found(task.id);
    return { status: 'released', reason: `${error.code}: ${error.message}`, error, runAt };
  }

  /** Another task is on the thread. That costs nothing: this one comes back. */
  #nextTurn(error: Error): Outcome {
    const runAt = this.#options.queue.clock.now() + OPEN_THREAD_MS;
    return { status: 'released', reason: error.message, runAt };
  }

  #runAgent(held: HeldTask): Promise<AttemptEnd> {
    if (!this.#isRecordedFirst(held) || held.task.assignedAgent === held.agent.name) return this.#start(held);
    return this.#record(held).then(() => this.#start(held));
  }

  #start(held: HeldTask): Promise<AttemptEnd> {
    const { host, queue } = this.#options;
    const { task } = held;
    const shared = this.#sharedThread(held);
    const children = (goals: readonly Goal[]) => queue.enqueueChildren(held.task, toTasks(host, goals));
    const recordEffects = async (effects: readonly Effect[]) => {
      held.task = await host.storeErrors.from(queue.recordEffects(held.task, effects));
    };
    const workflow = membershipOf(task);
    const isParent = task.interrupts?.some(isChildrenWait) ?? false;
    return this.#metered(held, (metering) => {
      const context = { children, recordEffects, shared, ...metering };
      if (workflow === undefined && !isParent) return host.runHeld(held, context);
      return this.#startWith(held, context, workflow);
    });
  }

  /** Without a budget the meter is made by the first who wants to be metered. */
  async #metered(
    held: HeldTask,
    run: (metering: Pick<HeldContext, 'callbacks' | 'onStep' | 'isSpent'>) => Promise<AttemptEnd>,
  ): Promise<AttemptEnd> {
    const isAborted = () => held.abortReason !== undefined;
    if (hasBudget(held.task, held.agent)) {
      const meter = this.#meter(held, isAborted);
      const callbacks = (): [UsageMeter] => [meter];
      const isSpent = held.agent.budget && meter.isTeamSpent;
      return metered(meter, isAborted, () => run({ callbacks, isSpent, onStep: meter.onStep }));
    }
    let meter: UsageMeter | undefined;
    const callbacks = (): [UsageMeter] => {
      meter ??= this.#meter(held, isAborted);
      return [meter];
    };
    try {
      return await run({ callbacks });
    } finally {
      await meter?.end();
    }
  }

  #meter(held: HeldTask, isAborted: () => boolean): UsageMeter {
    const { host, queue } = this.#options;
    const { task, agent, control, fence } = held;
    const { clock, events, prices } = host;
    const accounts = host.accounts(queue.registry);
    return new UsageMeter({
      ...placesOf(task, agent),
      accounts,
      clock,
      prices,
      task: task.id,
      fence,
      agent: agent.name,
      answers: task.answers ?? [],
      control,
      isAborted,
      isAlive: (open) => isCallAlive(queue, clock, open),
      onCall: (usage) => events.record(task.id, { type: 'usage', usage: { ...usage }, at: clock.now() }),
      onRaised: (scope) => void answerAll(queue, scope, 'raise').catch(() => {}),
    });
  }

  #sharedThread(held: HeldTask): SharedThread | undefined {
    if (namedThreadOf(held.task) === undefined) return undefined;
    const { host, queue } = this.#options;
    return {
      taskId: held.task.id,
      isOpen: async (id) => {
        const task = await host.storeErrors.from(queue.getTask(id));
        return task !== null && !isEnded(task.status);
      },
      confirmLease: async () => {
        held.task = await host.storeErrors.from(queue.heartbeat(held.task));
      },
    };
  }

  async #startWith(
    held: HeldTask,
    context: HeldContext,
    workflow: WorkflowMembership | undefined,
  ): Promise<AttemptEnd> {
    const { host, queue } = this.#options;
    const [given, answers] = await host.storeErrors.from(
      Promise.all([
        workflow === undefined ? undefined : givenByWorkflow(queue, held.task, workflow),
        childrenAnswers(queue, held.task),
      ]),
    );
    return host.runHeld(held, { ...context, given, answers });
  }

  async #record(held: HeldTask): Promise<void> {
    const { host, queue } = this.#options;
    // The agent's timeout may be longer than the queue's, and then so is the lease.
    held.task = await host.storeErrors.from(queue.assign(held.task, held.assignment));
    held.isRecorded = true;
  }

  /**
   * Where several agents could have taken the task, the choice is stored before its graph writes a checkpoint.
   * Where the agent's own timeout replaces the queue's, before the queue could judge by the wrong one.
   */
  #isRecordedFirst({ task, agent, assignment }: HeldTask): boolean {
    if (assignment.scores.length > 1 && isResumable(agent)) return true;
    const hasQueueBound = this.#options.queue.timeoutMs !== undefined && task.timeoutMs === undefined;
    return hasQueueBound && agent.timeoutMs !== undefined;
  }
}

/** The run of another task stands on the shared thread, or has taken it over. */
function isOtherHolder(error: unknown, task: Task): error is Error {
  if (error instanceof OpenThreadError) return true;
  return error instanceof LeaseLostError && error.taskId === namedThreadOf(task);
}
