import { isDeepStrictEqual } from 'node:util';
import {
  AlreadyAnsweredError,
  InvalidTransitionError,
  LeaseLostError,
  TooLargeError,
  UnknownInterruptError,
} from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { APPROVAL_TYPE, type Decision, decideApproval, timeOutApproval } from './approval.ts';
import { CHILDREN_MAX, METADATA_BYTES_MAX, QUESTIONS_BYTES_MAX, QUESTIONS_MAX } from './bounds.ts';
import { expired, notYet, overDeadline, rungClock, withAlarm } from './clocks.ts';
import { toEdge } from './dependencies.ts';
import { assignmentDetails, type Details, readDetails, withDetails, withoutDetails } from './details.ts';
import { type Effect, withEffects } from './effects.ts';
import { type Failure, withFailure } from './failures.ts';
import { end, move, NO_LEASE, reasonOf, refuse, release, requireMove, stay } from './moves.ts';
import type { LimitUse } from './quota.ts';
import type { Refusal } from './rate-limit.ts';
import { isRecorded } from './recorded-ending.ts';
import { backoffMs } from './retry.ts';
import {
  isEnded,
  isLeased,
  type NewTask,
  type RetryPolicy,
  type TaskAnswer,
  type TaskError,
  type TaskInterrupt,
  type TaskStatus,
} from './task.ts';
import { RESULT_REJECTED } from './task-error.ts';
import type { Assignment } from './task-queue.ts';
import type { Change, TaskRecord, TaskState } from './task-store.ts';

/** What happens to a task, checked and serialised: results are JSON text, errors are data. */
export type TaskAction =
  | { readonly type: 'start'; readonly fence: number | null }
  | { readonly type: 'heartbeat'; readonly fence: number }
  | { readonly type: 'assign'; readonly fence: number; readonly assignment: Assignment }
  | {
      readonly type: 'settle';
      /** null: by id, for whoever holds it (the operator's `updateStatus`). */
      readonly fence: number | null;
      readonly ending: Ending;
      readonly assignment?: Assignment | undefined;
      /** What the attempt weighed in truth, by key. */
      readonly spent?: readonly LimitUse[] | undefined;
    }
  | { readonly type: 'note' }
  | { readonly type: 'adopt'; readonly fence: number; readonly ids: readonly string[] }
  | { readonly type: 'record'; readonly fence: number; readonly effects: readonly Effect[] }
  | { readonly type: 'cancel'; readonly reason?: string | undefined }
  | { readonly type: 'expire' }
  | { readonly type: 'redrive' }
  | { readonly type: 'answer'; readonly interruptId: string; readonly value: JsonValue }
  | {
      /** A clock of the task has rung, or so it seems. `fence`: of the claim that met it; null while it waits. */
      readonly type: 'alarm';
      readonly fence: number | null;
      /** Of an approval: what it would show now. */
      readonly hashNow?: string | undefined;
    }
  | { readonly type: 'decide'; readonly decision: Decision; readonly hashNow: string }
  | { readonly type: 'quarantine' };

/** Changes beside the status; may ride on any action. */
export interface Note {
  readonly metadata?: JsonObject | undefined;
  readonly progress?: JsonValue | undefined;
}

export type Ending =
  | {
      readonly status: 'completed';
      readonly result: string | null;
      /** What that text says. */
      readonly value?: JsonValue | undefined;
    }
  | {
      readonly status: 'failed';
      readonly error: TaskError;
      readonly retry: 'allowed' | 'refused' | 'demanded';
      readonly failure?: Failure | undefined;
      readonly runAt?: number | undefined;
      readonly crashed?: boolean;
    }
  | {
      readonly status: 'released';
      readonly runAt?: number | undefined;
      readonly reason?: string | undefined;
      readonly hasBegun?: boolean | undefined;
      /** What kept it from running. */
      readonly error?: TaskError;
      /** It was given back since there were too many calls. */
      readonly refusal?: Refusal | undefined;
    }
  | {
      readonly status: 'waiting';
      readonly interrupts: readonly TaskInterrupt[];
      readonly tasks?: readonly string[] | undefined;
      readonly failure?: Failure | undefined;
    }
  | { readonly status: 'cancelled'; readonly reason?: string | undefined };

/** The settings that hold for one task, and the injected time and randomness. */
export interface DecisionContext {
  readonly now: number;
  readonly leaseMs: number;
  readonly maxRetries: number;
  readonly maxCrashes: number;
  /** The bound of the attempt as the task stands. */
  readonly timeoutMs: number | undefined;
  /** The bound that task or agent type set: what is left of it once an agent is assigned. */
  readonly ownTimeoutMs: number | undefined;
  readonly random: () => number;
  readonly retry: RetryPolicy;
  /** The task's metadata as it is now. */
  readonly metadata: JsonObject;
  readonly submission: NewTask;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * What an action does to a task: the change to write if the record is still as it was read, or null when it
 * was done before and nothing changes. Pure. Throws InvalidTransitionError, LeaseLostError, and what each
 * action names.
 */
export function decide(
  record: TaskRecord,
  action: TaskAction,
  context: DecisionContext,
  note?: Note,
): Change | null {
  const noted = note ? { ...record, details: withNote(record, note, context) } : record;
  const change = decideAction(noted, action, context) ?? (note ? stay(noted, {}) : null);
  return change && withAlarm(record, change, context.submission, !isHandBack(action));
}

/** Whether a worker gives back what it has not begun to do. */
function isHandBack(action: TaskAction): boolean {
  return action.type === 'settle' && action.ending.status === 'released' && action.ending.hasBegun === false;
}

function decideAction(record: TaskRecord, action: TaskAction, context: DecisionContext): Change | null {
  switch (action.type) {
    case 'start':
      return start(record, action.fence, context);
    case 'heartbeat':
      return heartbeat(record, action.fence, context);
    case 'assign':
      return assign(record, action.fence, action.assignment, context);
    case 'settle':
      return withSpent(settle(record, action, context), record, action.spent);
    case 'note':
      return isEnded(record.status) ? refuse(record, 'changed') : stay(record, {});
    case 'adopt':
      return adopt(record, action.fence, action.ids);
    case 'record':
      return recordEffects(record, action.fence, action.effects);
    case 'cancel':
      return isEnded(record.status) ? null : end(record, 'cancelled', context.now, action.reason);
    case 'expire':
      return expire(record, context);
    case 'redrive':
      return redrive(record, context);
    case 'answer':
      return answer(record, action.interruptId, action.value, context.now);
    case 'alarm':
      return ring(record, action, context);
    case 'decide':
      return decideApproval(record, action.decision, action.hashNow, context.now);
    case 'quarantine':
      return quarantine(record, context.now);
  }
}

function start(record: TaskRecord, fence: number | null, context: DecisionContext): Change | null {
  requireLease(record, fence, 'started');
  if (record.status === 'in_progress') return null;
  const { now, timeoutMs } = context;
  return move(record, 'in_progress', now, undefined, {
    startedAt: now,
    leaseExpiresAt: leaseEnd(now, timeoutMs, context),
  });
}

/** Without a heartbeat too an attempt is over with its time: a lease never outlasts it. */
function leaseEnd(
  startedAt: number | null,
  timeoutMs: number | undefined,
  { now, leaseMs, submission }: DecisionContext,
): number {
  const full = Math.min(now + leaseMs, Math.ceil(submission.deadline ?? Number.POSITIVE_INFINITY));
  if (timeoutMs === undefined || startedAt === null) return full;
  return Math.min(full, startedAt + Math.ceil(timeoutMs));
}

/** The change that cuts the lease of a task claimed into `in_progress` to its attempt's time; null where it fits. */
export function boundedLease(record: TaskRecord, context: DecisionContext): Change | null {
  const { timeoutMs = Number.POSITIVE_INFINITY, submission } = context;
  if (record.startedAt === null) return null;
  const leaseExpiresAt = Math.min(
    record.startedAt + Math.ceil(timeoutMs),
    Math.ceil(submission.deadline ?? Number.POSITIVE_INFINITY),
  );
  return leaseExpiresAt < (record.leaseExpiresAt ?? 0) ? stay(record, { leaseExpiresAt }) : null;
}

function heartbeat(record: TaskRecord, fence: number, context: DecisionContext): Change {
  requireLease(record, fence, 'heartbeaten');
  if (isOver(context)) return overDeadline(record, context.submission.deadline!, context.now);
  if (isTimedOut(record, context)) return timeOut(record, context);
  return stay(record, { leaseExpiresAt: leaseEnd(attemptStart(record), context.timeoutMs, context) });
}

function attemptStart({ status, startedAt }: TaskRecord): number | null {
  return status === 'in_progress' ? startedAt : null;
}

/** The agent's own bound takes the place of the queue's, so the lease is given anew. */
function assign(record: TaskRecord, fence: number, assignment: Assignment, context: DecisionContext): Change {
  requireLease(record, fence, 'assigned to an agent');
  return stay(record, {
    details: withAssignment(record.details, assignment),
    leaseExpiresAt: leaseEnd(attemptStart(record), context.ownTimeoutMs, context),
  });
}

function settle(
  record: TaskRecord,
  { fence, ending, assignment }: Extract<TaskAction, { type: 'settle' }>,
  context: DecisionContext,
): Change | null {
  if (fence !== null && record.fence === fence && isRecorded(record, ending)) return null;
  // A redrive would start it before its dependencies have ended.
  if (ending.status === 'failed' && record.blockedBy.length > 0) {
    refuse(record, 'failed while it waits for dependencies; cancel it');
  }
  // The table has failed → pending for the redrive alone, which gives fresh budgets.
  if (fence === null && ending.status === 'released' && record.status === 'failed')
    refuse(record, 'released');
  // It has waiting → completed for approvals alone, which somebody decides.
  if (fence === null && ending.status === 'completed' && record.status === 'waiting')
    refuse(record, 'completed; answer it, or decide it');
  if (fence === null) requireMove(record, operatorTarget(ending));
  else requireLease(record, fence, ending.status);
  if (ending.status === 'completed') return complete(record, ending.result, assignment, context.now);
  const assigned = assignment ? { ...record, details: withAssignment(record.details, assignment) } : record;
  const settled = 'failure' in ending ? noteFailure(assigned, ending.failure, assignment) : assigned;
  switch (ending.status) {
    case 'failed':
      return fail(settled, ending, context);
    case 'released':
      return ending.refusal
        ? park(settled, ending.refusal, ending.reason, context.now)
        : release(withError(settled, ending.error), ending.runAt, ending.reason ?? 'released', context.now);
    case 'waiting':
      return ending.tasks === undefined
        ? wait(settled, ending.interrupts, context.now)
        : standBack(settled, ending.interrupts, ending.tasks, context.now);
    case 'cancelled':
      return end(settled, 'cancelled', context.now, ending.reason);
  }
}

function complete(
  record: TaskRecord,
  result: string | null,
  assignment: Assignment | undefined,
  now: number,
): Change {
  const change = end(record, 'completed', now);
  const next = change.next as Writable<TaskState>;
  next.result = result;
  next.startedAt ??= now;
  if (record.details) next.details = withoutDetails(record.details, ['error', 'interrupts', 'askedAt']);
  if (assignment) next.details = withAssignment(next.details, assignment);
  return change;
}

function fail(
  record: TaskRecord,
  ending: Extract<Ending, { status: 'failed' }>,
  context: DecisionContext,
): Change {
  const { error } = ending;
  if (ending.crashed) return crash(record, error, reasonOf(error), context);
  const details = withDetails(record.details, { error, interrupts: undefined });
  const retriesLeft = record.retryCount < context.maxRetries;
  if (ending.retry === 'demanded' && !retriesLeft) {
    throw new InvalidTransitionError(
      record.id,
      record.status,
      `retrying: its ${context.maxRetries} retries are spent`,
    );
  }
  if (ending.retry !== 'refused' && isOver(context))
    return overDeadline(record, context.submission.deadline!, context.now);
  const startedAt = record.startedAt ?? context.now;
  if (ending.retry === 'refused' || !retriesLeft) {
    return end(record, 'failed', context.now, reasonOf(error), { details, startedAt });
  }
  const retryCount = record.retryCount + 1;
  const runAt = ending.runAt ?? context.now + backoffMs(retryCount, context.retry, context.random);
  return move(record, 'retrying', context.now, reasonOf(error), {
    ...NO_LEASE,
    retryCount,
    runAt,
    details,
    startedAt,
  });
}

function noteFailure(
  record: TaskRecord,
  failed: Failure | undefined,
  by: Assignment | undefined,
): TaskRecord {
  if (failed === undefined) return record;
  const failure = by?.turns === undefined ? failed : { ...failed, turns: by.turns };
  const failures = withFailure(readDetails(record.details).failures, failure);
  return { ...record, details: withDetails(record.details, { failures }) };
}

function withError(record: TaskRecord, error: TaskError | undefined): TaskRecord {
  return error === undefined ? record : { ...record, details: withDetails(record.details, { error }) };
}

/**
 * Back to where it was in the order, uncharged, with its keys closed: they keep it back, and all who share them.
 * Without a key only its own time can.
 */
function park(
  record: TaskRecord,
  { retryAfterMs, key }: Refusal,
  reason: string | undefined,
  now: number,
): Change {
  const until = now + retryAfterMs;
  const own = (record.quota?.limits ?? []).map((limit) => limit.key);
  const keys = key === null ? own : [key];
  const isKept = keys.some((closed) => own.includes(closed));
  const change = release(record, isKept ? undefined : until, reason ?? 'RATE_LIMITED', now);
  return { ...change, closes: keys.map((closed) => ({ key: closed, until })) };
}

function withSpent(
  change: Change | null,
  record: TaskRecord,
  spent: readonly LimitUse[] | undefined,
): Change | null {
  if (!change || !spent || !record.quota) return change;
  const { limits } = record.quota;
  return { ...change, spent: spent.filter(({ key }) => limits.some((limit) => limit.key === key)) };
}

/** Questions that were answered in the meantime do not make the task wait: it goes on at once. */
function wait(record: TaskRecord, interrupts: readonly TaskInterrupt[], now: number): Change {
  const { answers = [] } = readDetails(record.details);
  const open = interrupts.filter((question) => !answers.some((given) => given.id === question.id));
  const details = withDetails(record.details, { interrupts: open, error: undefined, askedAt: now });
  checkQuestions(record.id, open, details);
  return open.length < interrupts.length
    ? release({ ...record, details: withoutAsking(details) }, undefined, 'answered', now)
    : move(record, 'waiting', now, undefined, { ...NO_LEASE, details, startedAt: record.startedAt ?? now });
}

/** Behind other tasks, without lease or slot, until all of them have ended. */
function standBack(
  record: TaskRecord,
  interrupts: readonly TaskInterrupt[],
  tasks: readonly string[],
  now: number,
): Change {
  const details = withDetails(record.details, { interrupts, error: undefined });
  checkQuestions(record.id, interrupts, details);
  const change = release({ ...record, details }, undefined, `waits for ${tasks.length} tasks`, now);
  const dependsOn = tasks.map((id) => ({ dependencyId: id, on: 'completion', condition: null }) as const);
  return { ...change, dependsOn };
}

/** Known before they are there: whoever cancels the task from now on cancels them too. */
function adopt(record: TaskRecord, fence: number, ids: readonly string[]): Change | null {
  requireLease(record, fence, 'given children');
  const { children = [] } = readDetails(record.details);
  const known = new Set(children);
  const all = [...children, ...ids.filter((id) => !known.has(id))];
  if (all.length === children.length) return null;
  if (all.length > CHILDREN_MAX)
    throw new TooLargeError(record.id, 'CHILDREN_MAX', CHILDREN_MAX, all.length, 'children');
  return stay(record, { details: withDetails(record.details, { children: all }) });
}

function recordEffects(record: TaskRecord, fence: number, written: readonly Effect[]): Change {
  requireLease(record, fence, 'given effects');
  const { effects = [] } = readDetails(record.details);
  const all = withEffects(record.id, effects, written);
  return stay(record, { details: withDetails(record.details, { effects: all }) });
}

function answer(record: TaskRecord, interruptId: string, value: JsonValue, now: number): Change | null {
  if (record.agentType === APPROVAL_TYPE) refuse(record, 'answered; approve or reject it');
  const { interrupts = [], answers = [] } = readDetails(record.details);
  const given = answers.find((known) => known.id === interruptId);
  if (given) {
    if (isDeepStrictEqual(given.value, value)) return null;
    throw new AlreadyAnsweredError(record.id, interruptId);
  }
  if (!interrupts.some((question) => question.id === interruptId)) {
    throw new UnknownInterruptError(record.id, interruptId);
  }
  if (isEnded(record.status)) throw new InvalidTransitionError(record.id, record.status, 'answered');
  const open = interrupts.filter((question) => question.id !== interruptId);
  const all: readonly TaskAnswer[] = [...answers, { id: interruptId, value }];
  const details = withDetails(record.details, { interrupts: open, answers: all });
  checkQuestions(record.id, all, details);
  return record.status === 'waiting'
    ? release({ ...record, details: withoutAsking(details) }, undefined, 'answered', now)
    : stay(record, { details });
}

function withoutAsking(details: string | null): string | null {
  return withDetails(details, { askedAt: undefined });
}

function checkQuestions(taskId: string, entries: readonly unknown[], details: string | null): void {
  if (entries.length > QUESTIONS_MAX) {
    throw new TooLargeError(taskId, 'QUESTIONS_MAX', QUESTIONS_MAX, entries.length, 'questions or answers');
  }
  const bytes = Buffer.byteLength(details ?? '');
  if (bytes > QUESTIONS_BYTES_MAX) {
    throw new TooLargeError(taskId, 'QUESTIONS_BYTES_MAX', QUESTIONS_BYTES_MAX, bytes, 'bytes of JSON');
  }
}

/** Crashes are charged only to tasks that had started; a claim that never started costs nothing. */
function expire(record: TaskRecord, context: DecisionContext): Change | null {
  if (!isLeased(record.status) || record.leaseExpiresAt === null || record.leaseExpiresAt > context.now)
    return null;
  if (record.status === 'assigned')
    return release(record, undefined, 'lease expired before the start', context.now);
  if (isOver(context)) return overDeadline(record, context.submission.deadline!, context.now);
  if (isTimedOut(record, context)) return timeOut(record, context);
  const error = {
    name: 'WorkerCrashedError',
    message: `the worker stopped without a word (${record.crashes + 1} of ${context.maxCrashes})`,
    code: 'WORKER_CRASHED',
  };
  return crash(record, error, 'lease expired', context);
}

/** Whoever ran it is gone: told by the lease, or at once by the process it was isolated from. */
function crash(record: TaskRecord, error: TaskError, reason: string, context: DecisionContext): Change {
  const crashes = record.crashes + 1;
  const details = withDetails(record.details, { error });
  if (crashes >= context.maxCrashes) {
    return end(record, 'failed', context.now, reasonOf(error), { crashes, details });
  }
  const runAt = context.now + backoffMs(crashes, context.retry, context.random);
  return move(record, 'retrying', context.now, reason, { ...NO_LEASE, crashes, runAt, details });
}

function isTimedOut(record: TaskRecord, { now, timeoutMs }: DecisionContext): boolean {
  return (
    timeoutMs !== undefined && record.status === 'in_progress' && now - (record.startedAt ?? now) >= timeoutMs
  );
}

function timeOut(record: TaskRecord, context: DecisionContext): Change {
  const error = {
    name: 'TimeoutError',
    message: `the attempt ran longer than ${context.timeoutMs} ms`,
    code: 'TIMEOUT',
  };
  return fail(record, { status: 'failed', error, retry: 'allowed' }, context);
}

/** What waited for dependencies when it ended waits for them again. */
function redrive(record: TaskRecord, context: DecisionContext): Change {
  const { now, submission } = context;
  if (record.status !== 'failed') refuse(record, 'redriven; only failed tasks are');
  if (isOver(context)) refuse(record, 'redriven: its deadline has passed');
  const { error, clock } = readDetails(record.details);
  // A rejected result is kept in mind: the next run must not hand in the same one.
  const details = withDetails(record.details, {
    error: error?.code === RESULT_REJECTED ? error : undefined,
    clock: submission.expiresInMs === undefined ? undefined : { from: now },
  });
  const fresh = { retryCount: 0, crashes: 0, runAt: now, startedAt: null, completedAt: null, result: null };
  const change = move(record, 'pending', now, 'redriven', { ...fresh, details });
  const { dependsOn = [], join } = submission;
  return clock?.wasBlocked ? { ...change, dependsOn: dependsOn.map(toEdge), join } : change;
}

/** Somebody may have been faster: a clock that no longer runs does nothing. */
function ring(
  record: TaskRecord,
  { fence, hashNow }: Extract<TaskAction, { type: 'alarm' }>,
  { now, submission }: DecisionContext,
): Change | null {
  if (isEnded(record.status) || (isLeased(record.status) && record.fence !== fence)) return null;
  const clock = rungClock(record, submission, now);
  switch (clock?.kind) {
    case 'deadline':
      return overDeadline(record, clock.at, now);
    case 'expiry':
      return expired(record, submission, clock.at, now);
    case 'timeout':
      return timeOutApproval(record, submission.approval!, hashNow, now);
    default:
      return notYet(record, submission);
  }
}

/** Whether the task's deadline has come. */
function isOver({ now, submission: { deadline } }: DecisionContext): boolean {
  return deadline !== undefined && deadline <= now;
}

function quarantine(record: TaskRecord, now: number): Change {
  const error = {
    name: 'StoreCorruptError',
    message: 'the stored submission is not what was submitted',
    code: 'STORE_CORRUPT',
  };
  return end(record, 'failed', now, error.message, { details: JSON.stringify({ error } satisfies Details) });
}

function withNote(record: TaskRecord, { metadata, progress }: Note, context: DecisionContext): string | null {
  const merged = metadata && { ...context.metadata, ...metadata };
  const bytes = merged ? Buffer.byteLength(JSON.stringify(merged)) : 0;
  if (bytes > METADATA_BYTES_MAX) {
    throw new TooLargeError('metadata', 'METADATA_BYTES_MAX', METADATA_BYTES_MAX, bytes, 'bytes of JSON');
  }
  return withDetails(record.details, {
    ...(merged && { metadata: merged }),
    ...(progress !== undefined && { progress, progressAt: context.now }),
  });
}

function operatorTarget(ending: Ending): TaskStatus {
  if (ending.status === 'released') return 'pending';
  return ending.status === 'failed' && ending.retry !== 'refused' ? 'retrying' : ending.status;
}

function requireLease(record: TaskRecord, fence: number | null, attempted: string): void {
  if (fence === null) {
    if (!isLeased(record.status)) throw new InvalidTransitionError(record.id, record.status, attempted);
  } else if (record.fence !== fence) {
    throw new LeaseLostError(record.id, fence, `fence ${record.fence} was given since`);
  } else if (!isLeased(record.status)) {
    throw new LeaseLostError(record.id, fence, `the task is ${record.status}`);
  }
}

function withAssignment(details: string | null, assignment: Assignment): string | null {
  const changes = assignmentDetails(assignment);
  if (details === null) return JSON.stringify(changes);
  // With an earlier table go the turns of its choice.
  return withDetails(details, changes.scores ? { turns: undefined, ...changes } : changes);
}
