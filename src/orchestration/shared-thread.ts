import type { FencedSaver } from '../checkpoint/fence.ts';
import { InvalidTaskError, JottyError } from '../errors.ts';
import { THREAD_LIMIT } from '../queue/limits.ts';
import type { NewTask, Task } from '../queue/task.ts';
import type { CheckpointRecord } from './graph.ts';

/**
 * A thread that a task names may be shared: one conversation, a task for each turn. Tasks on it take turns by a
 * limit of one. What is stored on the thread says whose it is, since a task that is tried again must know whether
 * an unfinished run is its own, and whether a finished one is.
 */

/** Where a task's metadata says which thread it is on. */
const THREAD_KEY = 'threadId';
/** Where a checkpoint's metadata says which task wrote it. */
export const WRITER_KEY = 'jotty_task';
/** With the prefix of its limit it is a key. */
const THREAD_ID = /^[A-Za-z0-9_.:-]{1,100}$/;
/** How long a task waits for the run of another that stands on its thread, at a question or before a retry. */
export const OPEN_THREAD_MS = 2_000;

/** Another task has not finished on this thread. */
export class OpenThreadError extends JottyError {
  constructor(threadId: string, taskId: string) {
    super('THREAD_OPEN', `task ${taskId} has not finished on thread ${threadId}`);
  }
}

/** What a run on a shared thread knows beside its own task. */
export interface SharedThread {
  readonly taskId: string;
  /** Whether this task may still go on with what it has begun. */
  readonly isOpen: (taskId: string) => Promise<boolean>;
  /** Rejects where the lease is lost. */
  readonly confirmLease: () => Promise<void>;
}

/** The thread a task names; undefined where its thread is its own. */
export function namedThreadOf({ id, metadata }: Pick<Task, 'id' | 'metadata'>): string | undefined {
  const threadId: unknown = metadata[THREAD_KEY];
  return typeof threadId === 'string' && THREAD_ID.test(threadId) && threadId !== id ? threadId : undefined;
}

/** The submission of a task on this thread. @throws InvalidTaskError */
export function onThread(task: NewTask, threadId: string): NewTask {
  if (typeof threadId !== 'string' || !THREAD_ID.test(threadId))
    throw new InvalidTaskError('threadId', `expected a text like ${THREAD_ID.source}`);
  const limits = [...(task.limits ?? []), { key: `${THREAD_LIMIT}${threadId}`, max: 1 }];
  return { ...task, limits, metadata: { ...task.metadata, [THREAD_KEY]: threadId } };
}

/** The task that wrote this checkpoint; undefined where no task on a shared thread did. */
export function writerOf({ metadata }: CheckpointRecord): string | undefined {
  const writer: unknown = metadata?.[WRITER_KEY];
  return typeof writer === 'string' ? writer : undefined;
}

/**
 * The fence of this holder on the thread. The fences of two tasks say nothing about each other, so the thread
 * counts its holders. Between what a holder has seen and what it takes it proves its lease: a holder that lost it
 * stops there, or finds that its heir was faster.
 */
export async function takeThread(
  saver: FencedSaver,
  threadId: string,
  shared: SharedThread,
): Promise<number> {
  let seen = 0;
  for (;;) {
    await shared.confirmLease();
    const stored = await saver.raiseFence(threadId, seen);
    if (stored === seen) return seen + 1;
    seen = stored;
  }
}
