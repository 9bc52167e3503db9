import {
  InvalidOptionError,
  InvalidTaskError,
  InvalidTransitionError,
  LeaseLostError,
  TooLargeError,
} from '../errors.ts';
import { boundJsonBytes, copyJson, findJsonProblem, type JsonObject, type JsonValue } from '../json.ts';
import type { Decision } from './approval.ts';
import {
  APPROVER_NAME_MAX,
  CLAIM_TASKS_MAX,
  DEPENDENCIES_MAX,
  PLACES_MAX,
  PROGRESS_BYTES_MAX,
  REASON_BYTES_MAX,
  RESULT_BYTES_MAX,
  TIME_MS_MAX,
} from './bounds.ts';
import type { ClaimFilter } from './claim-filter.ts';
import { describe } from './description.ts';
import { requireKey } from './limits.ts';
import { toPriority } from './priority.ts';
import type { LimitUse } from './quota.ts';
import { refusalOf } from './rate-limit.ts';
import {
  isEnded,
  type Outcome,
  TASK_STATUSES,
  type Task,
  type TaskInterrupt,
  type TaskStatus,
} from './task.ts';
import { cutBytes, toTaskError } from './task-error.ts';
import type { ApprovalDecision, PauseTarget, StatusChange, TaskFilter } from './task-queue.ts';
import type { TaskRecord } from './task-store.ts';
import type { Ending, Note, TaskAction } from './transitions.ts';

const FILTER_FIELDS = ['agentType', 'priorityMin', 'ids', 'runnableBy'];

/** A dequeue's filter as the store takes it; null where everything matches. */
export function toClaimFilter(filter: TaskFilter): ClaimFilter | null {
  requireObject(filter, 'filter');
  const { agentType, priorityMin, ids, runnableBy } = filter;
  const unknown = Object.keys(filter).find((key) => !FILTER_FIELDS.includes(key));
  if (unknown !== undefined)
    throw new InvalidOptionError(
      `filter.${unknown}`,
      `one of ${FILTER_FIELDS.join(', ')}`,
      'an unknown field',
    );
  if (agentType === undefined && priorityMin === undefined && ids === undefined && runnableBy === undefined)
    return null;
  checkNames(agentType, 'filter.agentType');
  if (typeof ids === 'string') throw new InvalidOptionError('filter.ids', 'a list of texts', ids);
  checkNames(ids, 'filter.ids');
  if (ids && ids.length > CLAIM_TASKS_MAX)
    throw new InvalidOptionError('filter.ids', `at most ${CLAIM_TASKS_MAX} ids`, ids.length);
  return {
    agentTypes: agentType === undefined ? null : [agentType].flat(),
    priorityMin: priorityMin === undefined ? null : toPriority(priorityMin, 'filter.priorityMin'),
    ids: ids ?? null,
    runnableBy: runnableBy ?? null,
  };
}

export function requireObject(value: unknown, option: string): void {
  if (typeof value !== 'object' || value === null)
    throw new InvalidOptionError(option, 'an object', describe(value));
}

/** A name or a list of names. One of another kind would match nothing, and nobody would know why. */
export function checkNames(names: unknown, option: string): void {
  const isFit = [names].flat().every((name) => name === undefined || typeof name === 'string');
  if (!isFit || (names !== undefined && typeof names !== 'string' && !Array.isArray(names)))
    throw new InvalidOptionError(option, 'a text or a list of texts', describe(names));
}

/** The proof of its lease that a worker has in hand. */
export function fenceOf(task: Task): number {
  requireObject(task, 'task');
  if (!task.lease)
    throw new LeaseLostError(task.id, 0, 'this task object holds no lease; use the one dequeue() returned');
  return task.lease.fence;
}

/** A worker's outcome, checked and serialised: what cannot be stored is refused here, the task stays leased. */
export function toEnding(outcome: Outcome): Ending {
  requireObject(outcome, 'outcome');
  switch (outcome.status) {
    case 'completed':
      return {
        status: 'completed',
        result: toResultText(outcome.result),
        value: copyJson(outcome.result as JsonValue | undefined),
      };
    case 'failed':
      return (
        refused(outcome) ?? {
          status: 'failed',
          error: toTaskError(outcome.error),
          retry: outcome.retry === false ? 'refused' : 'allowed',
          failure: outcome.failure,
          ...(outcome.crashed === true && { crashed: true }),
        }
      );
    case 'released':
      return {
        status: 'released',
        runAt: toTime(outcome.runAt),
        reason: toReason(outcome.reason),
        hasBegun: outcome.hasBegun,
        ...(outcome.error !== undefined && { error: toTaskError(outcome.error) }),
      };
    case 'waiting':
      return {
        status: 'waiting',
        interrupts: toInterrupts(outcome.interrupts),
        tasks: toTaskIds(outcome.tasks),
        failure: outcome.failure,
      };
    case 'cancelled':
      return { status: 'cancelled', reason: toReason(outcome.reason) };
    default:
      throw new InvalidOptionError(
        'outcome.status',
        'completed, failed, released, waiting or cancelled',
        describe((outcome as { status?: unknown }).status),
      );
  }
}

/** A failure for too many calls is none: the task goes back, and its keys close. */
function refused({ error, retry, failure }: Extract<Outcome, { status: 'failed' }>): Ending | null {
  const isFailure = retry === false || failure !== undefined;
  const refusal = isFailure ? null : refusalOf(error);
  if (refusal === null) return null;
  const { message } = toTaskError(error);
  return { status: 'released', reason: toReason(`RATE_LIMITED: ${message}`), refusal };
}

/** The weights an attempt came to, of the limits it names; others are left out. Throws InvalidOptionError. */
export function toSpent({ spent }: Outcome): LimitUse[] | undefined {
  if (spent === undefined) return undefined;
  requireObject(spent, 'outcome.spent');
  return Object.entries(spent).map(([key, weight]) => {
    if (!Number.isSafeInteger(weight) || weight < 0 || weight > PLACES_MAX)
      throw new InvalidOptionError(`outcome.spent.${key.slice(0, 64)}`, 'a whole number from 0', weight);
    return { key, weight };
  });
}

/** The key of the gate that a pause closes; null: the whole queue. Throws InvalidOptionError. */
export function toPausedKey(target: PauseTarget | undefined): string | null {
  if (target === undefined) return null;
  requireObject(target, 'target');
  const named = Object.entries(target).filter(([, name]) => name !== undefined);
  const [kind, name] = named[0] ?? [];
  if (named.length !== 1 || (kind !== 'agent' && kind !== 'agentType' && kind !== 'key'))
    throw new InvalidOptionError('target', 'one of agent, agentType or key', describe(target));
  requireKey(name);
  return kind === 'key' ? `${name}` : `@${kind === 'agent' ? 'agent' : 'type'}:${name}`;
}

/** The operator's words as an action on the task as `record` has it. */
export function toStatusAction(record: TaskRecord, status: TaskStatus, change: StatusChange): TaskAction {
  if (!TASK_STATUSES.includes(status))
    throw new InvalidOptionError('status', TASK_STATUSES.join(', '), describe(status));
  if (change.result !== undefined && status !== 'completed')
    throw new InvalidTaskError('result', `expected none with ${status}: only a completed task has one`);
  const isNote = change.metadata !== undefined || change.progress !== undefined;
  if (status === record.status && isNote && !isEnded(status) && status !== 'retrying')
    return { type: 'note' };
  const reason = toReason(change.reason);
  const error = toTaskError(change.error ?? new Error(reason ?? `set to ${status} by an operator`));
  const runAt = toTime(change.runAt);
  const settle = (ending: Ending): TaskAction => ({ type: 'settle', fence: null, ending });
  switch (status) {
    case 'in_progress':
      return { type: 'start', fence: null };
    case 'completed':
      return settle({ status: 'completed', result: toResultText(change.result) });
    case 'failed':
      return settle({ status: 'failed', error, retry: 'refused' });
    case 'retrying':
      return settle({ status: 'failed', error, retry: 'demanded', runAt });
    case 'waiting':
      return settle({ status: 'waiting', interrupts: toInterrupts(change.interrupts ?? []) });
    case 'cancelled':
      return settle({ status: 'cancelled', reason });
    case 'pending':
      return record.status === 'failed' ? { type: 'redrive' } : settle({ status: 'released', runAt, reason });
    default:
      throw new InvalidTransitionError(
        record.id,
        record.status,
        `${status} by hand; only the queue itself does that`,
      );
  }
}

export function toAnswer(interruptId: string, value: JsonValue): TaskAction {
  requireJson(value, 'answer');
  return { type: 'answer', interruptId, value: JSON.parse(JSON.stringify(value)) };
}

/** Somebody's word on an approval. */
export function toDecision(decision: ApprovalDecision): Decision {
  requireObject(decision, 'decision');
  const { approved, by, reason, hash } = decision;
  if (typeof approved !== 'boolean')
    throw new InvalidOptionError('decision.approved', 'true or false', describe(approved));
  if (typeof by !== 'string' || by === '' || by.length > APPROVER_NAME_MAX)
    throw new InvalidOptionError(
      'decision.by',
      `who decides, 1–${APPROVER_NAME_MAX} characters`,
      describe(by),
    );
  for (const [field, value] of Object.entries({ reason, hash })) {
    if (value !== undefined && typeof value !== 'string')
      throw new InvalidOptionError(`decision.${field}`, 'a text', describe(value));
  }
  return { approved, by: by.toWellFormed(), reason: toReason(reason), hash };
}

/** Metadata and progress, which may ride on any action. */
export function toNote(change: StatusChange): Note | undefined {
  requireObject(change, 'change');
  const { metadata, progress } = change;
  if (metadata === undefined && progress === undefined) return undefined;
  if (metadata !== undefined) {
    if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
      throw new InvalidTaskError('metadata', `expected a JSON object, got ${describe(metadata)}`);
    }
    requireJson(metadata, 'metadata');
  }
  if (progress !== undefined) {
    requireJson(progress, 'progress');
    requireBytes(JSON.stringify(progress), 'progress', 'PROGRESS_BYTES_MAX', PROGRESS_BYTES_MAX);
  }
  return { metadata: metadata as JsonObject | undefined, progress };
}

function toResultText(result: unknown): string | null {
  if (result === undefined) return null;
  requireJson(result, 'result');
  const text = JSON.stringify(result);
  requireBytes(text, 'result', 'RESULT_BYTES_MAX', RESULT_BYTES_MAX);
  return text;
}

function toInterrupts(interrupts: readonly TaskInterrupt[]): TaskInterrupt[] {
  if (!Array.isArray(interrupts))
    throw new InvalidTaskError('interrupts', `expected a list, got ${describe(interrupts)}`);
  return interrupts.map((interrupt: TaskInterrupt | null | undefined, i) => {
    const { id, value } = interrupt ?? {};
    if (typeof id !== 'string' || id === '')
      throw new InvalidTaskError(`interrupts[${i}].id`, `expected a text, got ${describe(id)}`);
    if (value !== undefined) requireJson(value, `interrupts[${i}].value`);
    return { id, value: value === undefined ? null : JSON.parse(JSON.stringify(value)) };
  });
}

function toTaskIds(ids: readonly string[] | undefined): string[] | undefined {
  if (ids === undefined) return undefined;
  checkNames(ids, 'outcome.tasks');
  const each = [...new Set([ids].flat())];
  if (each.length > DEPENDENCIES_MAX)
    throw new TooLargeError('outcome.tasks', 'DEPENDENCIES_MAX', DEPENDENCIES_MAX, each.length, 'tasks');
  return each;
}

function toReason(reason: string | undefined): string | undefined {
  return reason === undefined ? undefined : cutBytes(String(reason), REASON_BYTES_MAX);
}

function toTime(runAt: number | undefined): number | undefined {
  if (runAt !== undefined && !(typeof runAt === 'number' && runAt >= 0 && runAt <= TIME_MS_MAX)) {
    throw new InvalidOptionError('runAt', 'a time in ms since the epoch', runAt);
  }
  return runAt;
}

function requireJson(value: unknown, path: string): void {
  if (boundJsonBytes(value) < Number.POSITIVE_INFINITY) return;
  const found = findJsonProblem(value);
  if (found) throw new InvalidTaskError(path + found.path, found.problem);
}

function requireBytes(text: string, path: string, bound: string, limit: number): void {
  if (text.length * 3 <= limit) return;
  const bytes = Buffer.byteLength(text);
  if (bytes > limit) throw new TooLargeError(path, bound, limit, bytes, 'bytes of JSON');
}
