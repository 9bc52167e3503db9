import { InvalidTransitionError } from '../errors.ts';
import type { EndStatus, TaskError, TaskEvent, TaskStatus } from './task.ts';
import { stateOf } from './task-record.ts';
import type { Change, TaskRecord, TaskState } from './task-store.ts';

type Event = Omit<TaskEvent, 'taskId' | 'seq'>;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The state machine: from each status, where a task may go. Claims and skips are the store's (it makes them
 * for many tasks at once); every other move is decided here.
 */
export const TRANSITIONS: Readonly<Record<TaskStatus, readonly TaskStatus[]>> = {
  pending: ['assigned', 'in_progress', 'cancelled', 'skipped', 'failed'],
  assigned: ['in_progress', 'pending', 'waiting', 'retrying', 'completed', 'failed', 'cancelled', 'skipped'],
  in_progress: ['pending', 'waiting', 'retrying', 'completed', 'failed', 'cancelled', 'skipped'],
  waiting: ['pending', 'completed', 'failed', 'cancelled'],
  retrying: ['assigned', 'in_progress', 'failed', 'cancelled', 'skipped'],
  completed: [],
  failed: ['pending'],
  cancelled: [],
  skipped: [],
};

export function refuse(record: TaskRecord, attempted: string): never {
  throw new InvalidTransitionError(record.id, record.status, attempted);
}

export const NO_LEASE = { owner: null, leaseExpiresAt: null };

export function end(
  record: TaskRecord,
  to: EndStatus,
  now: number,
  reason?: string,
  changes?: Partial<TaskState>,
): Change {
  const change = move(record, to, now, reason, changes);
  const next = change.next as Writable<TaskState>;
  next.owner = null;
  next.leaseExpiresAt = null;
  next.completedAt = now;
  return change;
}

export function move(
  record: TaskRecord,
  to: TaskStatus,
  at: number,
  reason?: string,
  changes?: Partial<TaskState>,
): Change {
  requireMove(record, to);
  const from = record.status;
  const event: Writable<Event> =
    record.owner === null ? { from, to, at } : { from, to, at, worker: record.owner };
  if (reason !== undefined) event.reason = reason;
  const next = stateOf(record);
  if (changes) Object.assign(next, changes);
  next.status = to;
  return { id: record.id, version: record.version, next, event };
}

export function stay(record: TaskRecord, changes: Partial<TaskState>): Change {
  return { id: record.id, version: record.version, next: Object.assign(stateOf(record), changes) };
}

export function requireMove(record: TaskRecord, to: TaskStatus): void {
  if (!TRANSITIONS[record.status].includes(to))
    throw new InvalidTransitionError(record.id, record.status, to);
}

/** Back to where it is claimed from; nothing is charged. */
export function release(record: TaskRecord, runAt: number | undefined, reason: string, now: number): Change {
  return move(record, 'pending', now, reason, {
    ...NO_LEASE,
    startedAt: null,
    runAt: runAt ?? Math.min(record.runAt, now),
  });
}

/** An error as the reason of a transition. */
export function reasonOf(error: TaskError): string {
  const text = error.code ? `${error.code}: ${error.message}` : error.message;
  return text.length > 200 ? `${text.slice(0, 200)}…`.toWellFormed() : text;
}
