import type { Clock } from '../clock.ts';
import type { JsonValue } from '../json.ts';
import type { AnalyticsOptions, QueueAnalytics } from './analytics.ts';
import type { EnqueuedTasks } from './batch.ts';
import type { RunnableBy } from './claim-filter.ts';
import type { Effect } from './effects.ts';
import type { Explanation } from './explanation.ts';
import type { Limit, LimitState } from './limits.ts';
import type { Registry } from './registry.ts';
import type {
  AgentScore,
  NewTask,
  Outcome,
  Priority,
  RetryOptions,
  Task,
  TaskEvent,
  TaskInterrupt,
  TaskStatus,
} from './task.ts';
import type { TaskLog } from './task-log.ts';
import type { Logging } from './task-store.ts';

/** Which claimable tasks to take; all given parts must hold. */
export interface TaskFilter {
  readonly agentType?: string | readonly string[] | undefined;
  /** This priority or a higher one. */
  readonly priorityMin?: Priority | number | undefined;
  readonly ids?: readonly string[] | undefined;
  /** What a worker with these agents free may run, pinned tasks included. */
  readonly runnableBy?: RunnableBy | undefined;
}

export interface DequeueOptions {
  /** Claims straight into `in_progress`, so that the start is stored before the agent runs. @default false */
  readonly start?: boolean | undefined;
}

export interface ListTasksQuery {
  readonly status?: TaskStatus | readonly TaskStatus[] | undefined;
  readonly agentType?: string | readonly string[] | undefined;
  /** Top-level keys that must be equal. */
  readonly metadata?: object | undefined;
  /** Created at or after; ms since the epoch. */
  readonly createdAfter?: number | undefined;
  readonly cursor?: string | undefined;
  /** 1–1,000. @default 100 */
  readonly limit?: number | undefined;
}

export interface TaskPage {
  readonly tasks: Task[];
  /** Where to go on; absent at the end. */
  readonly cursor?: string;
}

export interface StatusChange {
  readonly result?: unknown | undefined;
  readonly error?: unknown | undefined;
  /** Merged into the task's metadata, one level deep. */
  readonly metadata?: object | undefined;
  readonly progress?: JsonValue | undefined;
  readonly reason?: string | undefined;
  /** With `retrying` and `pending`: not before this time. */
  readonly runAt?: number | undefined;
  /** With `waiting`. */
  readonly interrupts?: readonly TaskInterrupt[] | undefined;
}

export interface QueueStats {
  readonly counts: Readonly<Record<TaskStatus, number>>;
  /** Claimable now. */
  readonly ready: number;
  readonly delayed: number;
  readonly blocked: number;
  /**
   * What claimable tasks want and no agent of a live worker can do; without a worker everything that waits.
   * The first thousand tasks in order are looked at, or more.
   */
  readonly unserved: readonly { readonly agentType?: string; readonly agent?: string }[];
  /** Age of the oldest claimable task, ms; 0 without one. */
  readonly oldestWaitingMs: number;
  readonly throughput: {
    /** Endings in the last full minute, and in the last hour. */
    readonly lastMinute: number;
    readonly lastHour: number;
  };
  readonly paused: boolean;
}

export interface QueueEvents {
  /** A transition made through this queue object. */
  transition: TaskEvent;
  completed: Task;
  failed: Task;
  /** There may be something to claim: a task came, was released, fell due, or another process wrote. */
  available: undefined;
  /** A task claimed through this queue object is no longer its: cancelled, or taken over. */
  leaseLost: { readonly taskId: string; readonly fence: number; readonly reason: 'cancelled' | 'taken over' };
  purged: readonly string[];
  /** The threads whose checkpoints are needed no more: of tasks just purged, and of those that only such have shared. */
  threadsPurged: readonly string[];
  paused: undefined;
  resumed: undefined;
  /** Something went wrong in the background. Without a listener it is kept quiet; it never ends the process. */
  error: Error;
}

/** Somebody's word on an approval that waits. */
export interface ApprovalDecision {
  readonly approved: boolean;
  /** Who decides: 1–200 characters. Kept with the result and in the history. */
  readonly by: string;
  readonly reason?: string | undefined;
  /** The hash of the question that was read; a decision on something else than what is there now is refused. */
  readonly hash?: string | undefined;
}

export type ConditionFunction = (result: JsonValue | undefined, task: Task) => boolean;

/** The choice of an agent, recorded with the task. */
export interface Assignment {
  readonly agent: string;
  readonly scores: readonly AgentScore[];
  /** As `Task.turns`. */
  readonly turns?: readonly number[] | undefined;
}

/** Where producers put tasks and workers take them. All promises resolve only when their effect is durable. */
export interface TaskQueue {
  /** Identifies this queue object as the owner of its leases. */
  readonly owner: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** The queue-wide bound of one attempt, if any. */
  readonly timeoutMs: number | undefined;
  readonly clock: Clock;
  /** How often workers ask where no hint came, ms; undefined: they decide. */
  readonly pollMs?: number | undefined;
  /** What processes that share this queue leave for one another. */
  readonly registry: Registry;

  /** An id that exists is left as it is (same content), or refused with DuplicateTaskError (other content). */
  enqueue(task: NewTask): Promise<string>;
  /**
   * Enqueues tasks for a task in hand, all or none: its children. They take over priority, limits and fair key where
   * they say nothing else, and are cancelled with it. At most CHILDREN_MAX of one task, and CHILD_DEPTH_MAX
   * generations. With ids, a repeated call changes nothing. Throws LeaseLostError, and what `enqueueMany` does.
   */
  enqueueChildren(parent: Task, tasks: readonly NewTask[]): Promise<string[]>;
  /** All or none; the tasks may depend on one another. The ids can be waited for: `waitAll`, `waitFirst`, `progress`. */
  enqueueMany(tasks: readonly NewTask[]): Promise<EnqueuedTasks>;
  /** Refuses what `enqueue` would refuse of a task for itself, with the same errors, and stores nothing. */
  validate(task: NewTask): void;
  /** Claims and leases the first claimable task, null without one. */
  dequeue(filter?: TaskFilter, options?: DequeueOptions): Promise<Task | null>;
  dequeueMany(limit: number, filter?: TaskFilter, options?: DequeueOptions): Promise<Task[]>;
  /** assigned → in_progress. Throws QueuePausedError while paused, LeaseLostError when the lease is gone. */
  start(task: Task): Promise<Task>;
  /** Extends the lease. Throws LeaseLostError; also when the attempt's timeoutMs has run out. */
  heartbeat(task: Task): Promise<Task>;
  /** Extends many leases in one step; null stands for a lost lease. */
  heartbeatMany(tasks: readonly Task[]): Promise<(Task | null)[]>;
  /** The worker's verb: ends the attempt. The same outcome again returns the recorded task, another throws LeaseLostError. */
  settle(task: Task, outcome: Outcome, assignment?: Assignment): Promise<Task>;
  /** Records which agent runs a leased task, and why. */
  assign(task: Task, assignment: Assignment): Promise<Task>;
  /**
   * Records calls with a side effect of a task in hand, each in the place of the one with its key; resolves when
   * that is durable. They are kept until the task is purged. Throws LeaseLostError, and TooLargeError beyond
   * EFFECTS_MAX or EFFECTS_BYTES_MAX.
   */
  recordEffects(task: Task, effects: readonly Effect[]): Promise<Task>;
  /** The operator's verb, checked against the transition table; works on leased tasks too. */
  updateStatus(id: string, status: TaskStatus, change?: StatusChange): Promise<Task>;
  /** `cancelled` at once; an ended task is returned unchanged. */
  cancel(id: string, reason?: string): Promise<Task>;
  /** Redrives a failed task from its last checkpoint: a new life with fresh budgets. */
  retry(id: string): Promise<Task>;
  /**
   * Answers one open question of a task (`interruptId` is the id of an entry of `task.interrupts`) and lets it
   * go on; other questions stay open. The same answer again changes nothing; a different one to a question
   * already answered throws AlreadyAnsweredError, an id never asked UnknownInterruptError.
   */
  answer(id: string, interruptId: string, value: JsonValue): Promise<Task>;
  /**
   * Decides an approval that waits: approved it has completed, rejected it has failed with code REJECTED. The same
   * decision again changes nothing; the other one throws AlreadyDecidedError. Where the task or its input has
   * changed since it was asked, or `hash` is not that of what is shown now, it is asked again, and
   * StaleApprovalError thrown.
   */
  decide(id: string, decision: ApprovalDecision): Promise<Task>;
  getTask(id: string): Promise<Task | null>;
  listTasks(query?: ListTasksQuery): Promise<TaskPage>;
  history(id: string): Promise<TaskEvent[]>;
  /** Adds to the logs of leased tasks; false for each whose lease is gone. See task-log.ts. */
  appendLogs(loggings: readonly Logging[]): Promise<boolean[]>;
  /** The pages of a task's log with entries above `after`, at most `limit` of them. */
  log(id: string, after: number, limit: number): Promise<TaskLog>;
  stats(): Promise<QueueStats>;
  /**
   * What went on in the last `windowMs`, in all processes, the same whoever asks: counted by minute by each process and
   * written once a second, so that nothing is scanned. What others did in their last second may be missing, and a
   * process that is killed takes that with it; quantiles are within 5 %, the window reaches up to a minute further back.
   * Runs count when they end. Throws InvalidOptionError.
   */
  analytics(options?: AnalyticsOptions): Promise<QueueAnalytics>;
  /** No claim or start of these tasks in any process later than 250 ms after this has resolved. @default all */
  pause(target?: PauseTarget): Promise<void>;
  /** Ends a pause of the same target; others go on. */
  resume(target?: PauseTarget): Promise<void>;
  /**
   * Bounds all tasks of a key, in every process, from the next claim on; what is left out is unbounded. A task
   * that is submitted with a bound for the key sets it anew.
   */
  setLimit(key: string, limit: Omit<Limit, 'key' | 'weight'>): Promise<void>;
  /** How these keys stand, in their order, without those nobody named; without keys the first thousand. */
  limits(keys?: readonly string[]): Promise<LimitState[]>;
  /**
   * Why a task waits: all that keeps it from being claimed now, and what would free it. Without a blocker it can
   * be claimed now. Throws TaskNotFoundError.
   */
  explain(id: string): Promise<Explanation>;
  /**
   * Resolves when the task has ended, and keeps the process alive until then. `timeoutMs` is positive, Infinity
   * none. Throws TaskNotFoundError, TimeoutError, InvalidOptionError, or the signal's reason.
   */
  waitFor(
    id: string,
    options?: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
  ): Promise<Task>;
  on<E extends keyof QueueEvents>(event: E, listener: (value: QueueEvents[E]) => void): () => void;
  registerCondition(name: string, condition: ConditionFunction): void;
  /**
   * The LangGraph saver that belongs to this backend, made when first asked for. It shares the queue's
   * storage and is closed with it. The queue itself never needs LangGraph.
   */
  checkpointer(): Promise<unknown>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One agent, agent type or key of a limit. */
export type PauseTarget =
  | { readonly agent: string; readonly agentType?: undefined; readonly key?: undefined }
  | { readonly agentType: string; readonly agent?: undefined; readonly key?: undefined }
  | { readonly key: string; readonly agent?: undefined; readonly agentType?: undefined };

export interface TaskQueueOptions {
  /** How long a claim holds without a heartbeat. @default 30_000 */
  readonly leaseMs?: number | undefined;
  /** At most leaseMs / 2. @default leaseMs / 3 */
  readonly heartbeatMs?: number | undefined;
  /** How often overdue leases are looked for. @default 5_000 */
  readonly sweepMs?: number | undefined;
  /** One level of priority is worth this much waiting; Infinity is strict priority. @default 60_000 */
  readonly agingMs?: number | undefined;
  /** @default { initialInterval: 500, backoffFactor: 2, maxInterval: 30_000, jitter: true } */
  readonly retry?: RetryOptions | undefined;
  /** @default 3 */
  readonly maxRetries?: number | undefined;
  /** @default 5 */
  readonly maxCrashes?: number | undefined;
  /** Bounds one attempt of any task. @default none */
  readonly timeoutMs?: number | undefined;
  /** Settings by agent type; nearer than the agent's and the queue's, farther than the task's own. */
  readonly agentTypes?: Readonly<Record<string, { readonly timeoutMs?: number | undefined }>> | undefined;
  /** Ended tasks are purged after this long, with history and checkpoints; a purged id is new again. @default Infinity */
  readonly retentionMs?: number | undefined;
  /** @default 1 MiB */
  readonly payloadBytesMax?: number | undefined;
  readonly conditions?: Readonly<Record<string, ConditionFunction>> | undefined;
  /**
   * Limits of every task submitted through this object that has the places of their templates; a task whose values
   * there make no key is refused. @default []
   */
  readonly limits?: readonly Limit[] | undefined;
  readonly clock?: Clock | undefined;
  /** In [0, 1). @default Math.random */
  readonly random?: (() => number) | undefined;
  /** Makes ids of tasks that come without one. @default UUID v7 */
  readonly newId?: (() => string) | undefined;
  /** Names this queue object in leases. @default host:pid:random */
  readonly owner?: string | undefined;
}
