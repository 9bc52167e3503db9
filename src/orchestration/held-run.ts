import { LeaseLostError } from '../errors.ts';
import type { Outcome, Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import type { AttemptEnd } from './attempt.ts';
import type { HeldTask } from './held-task.ts';
import type { LoopHealth } from './loop-health.ts';
import { outcomeOf } from './outcome-of.ts';
import { RunLimits } from './run-limits.ts';
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

  constructor(options: HeldRunOptions) {
    this.#options = options;
  }

  /** null where the task is no longer ours to settle. Never rejects. */
  async run(held: HeldTask): Promise<Outcome | null> {
    const { host, queue, health, onStarted } = this.#options;
    const { task } = held;
    const { clock } = queue;
    const limits = new RunLimits(held, queue);
    held.phase = 'running';
    held.startedAt = clock.now();
    try {
      if (held.abortReason !== undefined) throw held.abortReason;
      // It was fetched ahead, or the event loop was blocked: the lease is proved before the start.
      if ((task.lease?.expiresAt ?? 0) <= held.startedAt) {
        held.task = await host.storeErrors.from(queue.heartbeat(task));
        held.startedAt = clock.now();
      }
      limits.start();
      onStarted({ task, agent: held.agent.name });
      const end = await held.untilAborted(this.#runAgent(held));
      health.succeeded();
      return end;
    } catch (error) {
      // The saver may learn it before the heartbeat does: what else the run has begun is told too.
      if (error instanceof LeaseLostError && error.taskId === task.id) held.abort(error);
      if (held.abortReason === undefined && host.storeErrors.has(error)) return this.#later(error);
      return outcomeOf(error, held.abortReason, task.id);
    } finally {
      limits.stop();
    }
  }

  /** A full disk or a store that is away is no fault of the agent's: the task goes on from its last checkpoint, uncharged. */
  #later(error: unknown): Outcome {
    const { queue, health } = this.#options;
    const runAt = Math.ceil(queue.clock.now() + health.failed(error));
    return { status: 'released', reason: error instanceof Error ? error.message : String(error), runAt };
  }

  #runAgent(held: HeldTask): Promise<AttemptEnd> {
    if (!this.#isRecordedFirst(held) || held.task.assignedAgent === held.agent.name) return this.#start(held);
    return this.#record(held).then(() => this.#start(held));
  }

  #start(held: HeldTask): Promise<AttemptEnd> {
    const workflow = membershipOf(held.task);
    return workflow === undefined ? this.#options.host.runHeld(held) : this.#runMember(held, workflow);
  }

  async #runMember(held: HeldTask, workflow: WorkflowMembership): Promise<AttemptEnd> {
    const { host, queue } = this.#options;
    const given = await host.storeErrors.from(givenByWorkflow(queue, held.task, workflow));
    return host.runHeld(held, given);
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
    if (assignment.scores.length > 1 && agent.graph !== undefined) return true;
    const hasQueueBound = this.#options.queue.timeoutMs !== undefined && task.timeoutMs === undefined;
    return hasQueueBound && agent.timeoutMs !== undefined;
  }
}
