import type { Meter, Place } from './private-redis.ts';
import type { WorkItem } from './work.ts';

/** What the benchmark asks of Jotty's queue and of every other one. */
export interface QueueSide {
  /** Opens a queue on a fresh database file; sides in memory ignore the path. */
  open(path: string): Promise<OpenQueue>;
  /** Opens in this process a queue that another one has opened, where the side can. */
  join?(place: Place): Promise<OpenQueue>;
  /** Tasks at this concurrency: sides too slow for the full work get less of it, which is in their favour. */
  tasksMax(concurrency: number): number;
  /** Quick enough for all of the work in a quick run, too. @default false */
  readonly inMemory?: boolean;
  /** Is told of a new task, also by another process; the others poll. @default false */
  readonly wakes?: boolean;
  /** Takes only tasks of one type in one bulk call. @default false */
  readonly bulkByType?: boolean;
}

export interface OpenQueue {
  /** Resolves when the side says that the task is stored. */
  enqueue(item: WorkItem): Promise<unknown>;
  /** Stores many in one call; absent where the side cannot. */
  enqueueMany?(items: readonly WorkItem[]): Promise<unknown>;
  /** Takes one waiting task. */
  claim?(): Promise<unknown>;
  /**
   * Runs `tasks` waiting tasks with `concurrency` no-op handlers at a time.
   * Resolves when the last completion is stored.
   */
  process(concurrency: number, tasks: number): Promise<void>;
  /** Starts a consumer that tells when a handler starts. */
  consume(onStart: () => void): Promise<Consumer>;
  /**
   * Runs waiting tasks with no-op handlers, beside other processes that do the same, and goes on for ever.
   * Tells each completion when it is stored.
   */
  share?(concurrency: number, onDone: () => void): void;
  /** Where other processes find the same tasks. */
  readonly place?: Place;
  /** What the store has done and holds, where it can be asked. */
  meter?(): Promise<Meter>;
  close(): Promise<void>;
}

export interface Consumer {
  stop(): Promise<void>;
}

/** Spreads a number of handlers over the lanes of a side that has one queue per agent type. */
export function share(total: number, lanes: number, lane: number): number {
  return Math.floor(total / lanes) + (lane < total % lanes ? 1 : 0);
}
