import { DeadlineExceededError } from '../errors.ts';
import { type Details, readDetails, withDetails } from './details.ts';
import { end, reasonOf, stay } from './moves.ts';
import { isEnded, isLeased, type NewTask, type TaskError } from './task.ts';
import type { Change, TaskIdentity, TaskRecord, TaskState } from './task-store.ts';

/** What a submission says of its time, apart from that of a single attempt. */
export type Clocks = Pick<
  NewTask,
  'runAt' | 'delayMs' | 'expiresInMs' | 'onExpiry' | 'deadline' | 'approval'
>;

/**
 * What ends a task's waiting by itself. `expiry`: it waited too long for its first start. `deadline`: that of the
 * task as a whole. `timeout`: nobody decided its approval.
 */
export interface TaskClock {
  readonly kind: 'expiry' | 'deadline' | 'timeout';
  /** ms since the epoch */
  readonly at: number;
}

type Standing = Pick<TaskIdentity, 'createdAt'> &
  Pick<TaskState, 'status' | 'retryCount' | 'crashes' | 'details'>;

/** The first clock to ring for a task as it stands; null where none runs. */
export function nextClock(task: Standing, clocks: Clocks): TaskClock | null {
  const { deadline, expiresInMs, approval } = clocks;
  if (deadline === undefined && expiresInMs === undefined && approval === undefined) return null;
  if (isEnded(task.status)) return null;
  const details = readDetails(task.details);
  const all: TaskClock[] = [];
  if (deadline !== undefined) all.push({ kind: 'deadline', at: Math.ceil(deadline) });
  if (expiresInMs !== undefined && !hasBegun(task, details))
    all.push({ kind: 'expiry', at: Math.ceil(waitsSince(task, clocks, details) + expiresInMs) });
  if (approval?.timeoutMs !== undefined && task.status === 'waiting' && details.askedAt !== undefined)
    all.push({ kind: 'timeout', at: timeoutAt(details.askedAt, approval.timeoutMs) });
  return all.length === 0 ? null : all.reduce((first, clock) => (clock.at < first.at ? clock : first));
}

export function timeoutAt(askedAt: number, timeoutMs: number): number {
  return askedAt + Math.ceil(timeoutMs);
}

/** The clock that has rung for the task at `now`, if any. */
export function rungClock(task: Standing, clocks: Clocks, now: number): TaskClock | null {
  const clock = nextClock(task, clocks);
  return clock !== null && clock.at <= now ? clock : null;
}

/** The alarm of a task as it is submitted. */
export function firstAlarm(createdAt: number, clocks: Clocks): number | null {
  const { deadline, expiresInMs } = clocks;
  if (deadline === undefined && expiresInMs === undefined) return null;
  const task = { createdAt, status: 'pending', retryCount: 0, crashes: 0, details: null } as const;
  return nextClock(task, clocks)?.at ?? null;
}

/**
 * The change with the alarm that follows from it: set for every status in which a task waits, off where it is
 * leased or has ended. `begins`: whether a run that this change ends had begun.
 */
export function withAlarm(record: TaskRecord, change: Change, clocks: Clocks, begins: boolean): Change {
  const next = change.next as { -readonly [K in keyof TaskState]: TaskState[K] };
  if (isLeased(next.status) || isEnded(next.status)) {
    next.alarmAt = null;
    return change;
  }
  const hasRun =
    record.status === 'in_progress' || (record.status === 'assigned' && next.status === 'waiting');
  const isFirst = begins && clocks.expiresInMs !== undefined && hasRun;
  if (isFirst && next.status !== 'retrying') {
    const clock = { ...readDetails(next.details).clock, hasBegun: true as const };
    next.details = withDetails(next.details, { clock });
  }
  next.alarmAt = nextClock({ ...next, createdAt: record.createdAt }, clocks)?.at ?? null;
  return change;
}

/** Ends a task whose deadline has come, wherever it stands. */
export function overDeadline(record: TaskRecord, deadline: number, now: number): Change {
  const { name, message, code } = new DeadlineExceededError(deadline);
  return endWaiting(record, { name, message, code }, now);
}

/** Ends a task that has waited too long for its first start. */
export function expired(
  record: TaskRecord,
  { expiresInMs, onExpiry }: Clocks,
  at: number,
  now: number,
): Change {
  const message = `it did not start within ${expiresInMs} ms, before ${new Date(at).toISOString()}`;
  if (onExpiry === 'skip') return end(record, 'skipped', now, `EXPIRED: ${message}`);
  return endWaiting(record, { name: 'ExpiredError', message, code: 'EXPIRED' }, now);
}

/** No clock rings for it now: only the alarm is set anew, where it is not right. */
export function notYet(record: TaskRecord, clocks: Clocks): Change | null {
  const at = isLeased(record.status) ? null : (nextClock(record, clocks)?.at ?? null);
  return record.alarmAt === at ? null : stay(record, {});
}

function endWaiting(record: TaskRecord, error: TaskError, now: number): Change {
  const { clock } = readDetails(record.details);
  const details = withDetails(record.details, {
    error,
    interrupts: undefined,
    askedAt: undefined,
    clock: record.blockedBy.length > 0 ? { ...clock, wasBlocked: true } : clock,
  });
  return end(record, 'failed', now, reasonOf(error), { details });
}

function hasBegun({ status, retryCount, crashes }: Standing, { clock }: Details): boolean {
  return retryCount > 0 || crashes > 0 || status === 'waiting' || clock?.hasBegun === true;
}

function waitsSince({ createdAt }: Standing, { runAt, delayMs }: Clocks, { clock }: Details): number {
  return clock?.from ?? Math.max(createdAt, runAt ?? 0, createdAt + (delayMs ?? 0));
}
