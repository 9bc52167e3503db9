import type { Clock } from '../clock.ts';
import type { ApprovalDecision, TaskQueue } from '../queue/task-queue.ts';
import type { AgentSource } from './agent.ts';
import type { AgentCoordinator } from './agent-coordinator.ts';
import type { Classify, OnFailure } from './failure-policy.ts';
import type { Checkpointer } from './graph.ts';
import type { TaskQueueManagerOptions } from './manager-options.ts';
import type { ModeOptions } from './modes.ts';
import type { RecordOptions } from './run-logs.ts';
import type { Prices } from './usage.ts';

interface BaseOptions<Name extends string> {
  /** Compiled graphs, `createAgent` results, anything with `invoke`, or definitions, by name. */
  readonly agents: Readonly<Record<Name, AgentSource>>;
  /** @default a MemoryTaskQueue, made when a goal is enqueued */
  readonly queue?: TaskQueue | undefined;
  /**
   * A LangGraph saver; it replaces the one a graph was compiled with. LangGraph's own savers know no fences: with
   * them a worker that lost its lease, e.g. since its process stood still, can still write over the checkpoints
   * of the one that took over. Jotty's refuse that. @default the queue's, made when first needed
   */
  readonly checkpointer?: Checkpointer | undefined;
  readonly coordinator?: AgentCoordinator | undefined;
  /** What kind of failure an error is, for agents that do not say so themselves. @default by the error's shape */
  readonly classify?: Classify | undefined;
  /** What follows a failure, by its class, for agents that do not say so themselves. */
  readonly onFailure?: OnFailure | undefined;
  /** What is recorded of every run for `events`, beside what costs next to nothing. */
  readonly events?: RecordOptions | undefined;
  /** What calls of models cost, by the model's name, for usage and budgets; without it there is no cost. @default {} */
  readonly prices?: Prices | undefined;
  /** @default the queue's */
  readonly clock?: Clock | undefined;
}

/**
 * How goals run that name neither an agent nor an agentType: on one agent, or with a mode on all of them, as one
 * more agent with the name of the mode.
 */
export type ConductorOptions<Name extends string = string> = BaseOptions<Name> & ModeOptions<Name>;

export interface ProcessQueueOptions
  extends Pick<TaskQueueManagerOptions, 'maxTasks' | 'untilEmpty' | 'maxConcurrent' | 'prefetch'> {
  /** Stops the loop as `TaskQueueManager.stop` does. */
  readonly signal?: AbortSignal | undefined;
  /** How long runs may go on after the signal, ms. @default 10_000 */
  readonly drainMs?: number | undefined;
  /** Hears what goes wrong on the way: a store that is away, a strategy that throws. The loop goes on. */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** Who decides, and why. */
export type Verdict = Omit<ApprovalDecision, 'approved'>;

export interface ResultOptions {
  readonly signal?: AbortSignal | undefined;
  /** ms. @default Infinity */
  readonly timeoutMs?: number | undefined;
}
