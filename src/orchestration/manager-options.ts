import { InvalidOptionError } from '../errors.ts';
import type { Task } from '../queue/task.ts';
import type { LoopStatus } from './loop-health.ts';

export const DRAIN_MS = 10_000;
/** How long `stop` waits for the store to take the last outcomes, ms; then leases expire by themselves. */
export const STOP_SETTLE_MS = 5_000;

export interface TaskQueueManagerOptions {
  /** Tasks that run at a time. @default 3 */
  readonly maxConcurrent?: number | undefined;
  /**
   * Tasks claimed and recorded as started ahead of the free slots. A crash of the process is charged to them
   * too, their timeoutMs counts from the claim, and they wait here while other processes may be free.
   *
   * `'auto'` claims ahead only while runs take less than 2 ms on average, when storing each start by itself would
   * cost more than the runs. As soon as a run lasts longer than 50 ms, or a task has waited here for more than
   * 200 ms, all that has not begun is handed back uncharged. A number holds always.
   * @default 'auto'
   */
  readonly prefetch?: number | 'auto' | undefined;
  /** Stops by itself after it has taken this many tasks. @default Infinity */
  readonly maxTasks?: number | undefined;
  /** Stops by itself when nothing is left that its agents could run. @default false */
  readonly untilEmpty?: boolean | undefined;
  /** How often the queue is asked where no hint came, ms. @default the queue's, else 1_000 */
  readonly pollMs?: number | undefined;
  /** In [0, 1), for the jitter of back-offs. @default Math.random */
  readonly random?: (() => number) | undefined;
}

export interface ProcessedCounts {
  readonly completed: number;
  /** Ended as failed; attempts that will be retried are not counted. */
  readonly failed: number;
  /** Stopped at a question. */
  readonly waiting: number;
}

export interface ManagerStatus {
  readonly state: 'new' | 'running' | 'paused' | 'stopping' | 'stopped';
  readonly running: readonly {
    readonly taskId: string;
    readonly agent: string;
    readonly startedAt: number;
  }[];
  /** Claimed, its slot still busy. */
  readonly waiting: number;
  /** Ended, not yet recorded. */
  readonly settling: number;
  readonly processed: ProcessedCounts;
  readonly loops: { readonly claim: LoopStatus; readonly heartbeat: LoopStatus; readonly settle: LoopStatus };
}

export interface ManagerEvents {
  started: { readonly task: Task; readonly agent: string };
  /** The attempt is recorded; the task as it is now. */
  settled: Task;
  /** The task was cancelled or taken over; whatever its run still returns is dropped. */
  leaseLost: { readonly taskId: string; readonly fence: number };
  error: Error;
}

export interface StopOptions {
  /** How long runs may go on to their next superstep, ms. What runs after that is handed back. @default 10_000 */
  readonly drainMs?: number | undefined;
}

export interface ResolvedManagerOptions {
  readonly maxConcurrent: number;
  readonly prefetch: number | 'auto';
  readonly maxTasks: number;
  readonly untilEmpty: boolean;
  readonly pollMs: number;
  readonly random: () => number;
}

/** @throws InvalidOptionError */
export function resolveManagerOptions({
  maxConcurrent = 3,
  prefetch = 'auto',
  maxTasks = Infinity,
  untilEmpty = false,
  pollMs = 1_000,
  random = Math.random,
}: TaskQueueManagerOptions): ResolvedManagerOptions {
  if (!Number.isInteger(maxConcurrent) || maxConcurrent < 1) {
    throw new InvalidOptionError('maxConcurrent', 'a whole number from 1', maxConcurrent);
  }
  if (prefetch !== 'auto' && !(Number.isInteger(prefetch) && prefetch >= 0)) {
    throw new InvalidOptionError('prefetch', "a whole number from 0, or 'auto'", prefetch);
  }
  if (!(maxTasks >= 0)) throw new InvalidOptionError('maxTasks', 'a number from 0', maxTasks);
  if (!(pollMs > 0)) throw new InvalidOptionError('pollMs', 'a number above 0, ms', pollMs);
  return { maxConcurrent, prefetch, maxTasks, untilEmpty, pollMs, random };
}
