import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { InvalidTaskError, UnknownConditionError } from '../errors.ts';
import { copyJson } from '../json.ts';
import { APPROVAL_TYPE } from './approval.ts';
import { firstAlarm } from './clocks.ts';
import { toEdge } from './dependencies.ts';
import { type Limit, shareOf } from './limits.ts';
import { priorityOf } from './priority.ts';
import { rankOf } from './rank.ts';
import { checkFields, checkJson, checkNobodyRuns, type Place } from './submission-fields.ts';
import type { NewTask } from './task.ts';
import type { Edge, GateChange, NewRecord, TaskIdentity } from './task-store.ts';
import { isWhereText } from './where.ts';

/** What the validation of a submission needs to know of its queue. */
export interface SubmissionRules {
  readonly payloadBytesMax: number;
  readonly agingMs: number;
  readonly newId: () => string;
  readonly hasCondition: (name: string) => boolean;
  /** Whether submissions are stored as objects: neither written as text nor hashed. */
  readonly isInProcess: boolean;
  /** Whether the tasks are children of another. */
  readonly areChildren?: boolean;
  /** The queue's own limits. */
  readonly limits: readonly Limit[];
}

/** A record to store, with what its submission says of the keys it names. */
export interface SubmittedRecord extends NewRecord {
  readonly rules?: readonly GateChange[] | undefined;
}

const NO_EDGES: readonly Edge[] = [];

/**
 * Checks a submission and turns it into the record to store. Throws InvalidTaskError, TooLargeError or
 * UnknownConditionError, each naming the place.
 */
export function toRecord(task: NewTask, at: Place, now: number, rules: SubmissionRules): SubmittedRecord {
  checkFields(task, at);
  checkJson(task.payload, at, 'payload', 'payloadBytesMax', rules.payloadBytesMax);
  if (task.parent !== undefined && !rules.areChildren)
    throw new InvalidTaskError(at('parent'), 'expected none; enqueueChildren() sets it');
  const dependsOn = task.dependsOn ? task.dependsOn.map(toEdge) : NO_EDGES;
  if (dependsOn !== NO_EDGES || task.validate) checkConditions(task, dependsOn, at, rules);
  if (task.approval) checkNobodyRuns(task, at);
  if (task.fairWeight !== undefined && task.fairKey === undefined)
    throw new InvalidTaskError(at('fairWeight'), 'expected a fairKey beside it');
  // Nobody runs an approval: it takes no place, and no turn, that a run could have.
  const share = task.approval ? null : shareOf(task, rules.limits, at);
  const { isInProcess } = rules;
  const submission = isInProcess ? '' : JSON.stringify(task);
  const priority = priorityOf(task);
  const runAt = Math.max(task.runAt ?? now, now + (task.delayMs ?? 0));
  const id = task.id ?? rules.newId();
  return {
    id,
    submission,
    content: isInProcess ? copyJson(task) : undefined,
    hash: isInProcess ? '' : hashOf(id, submission),
    priority,
    agentType: claimedType(task),
    agent: task.agent ?? null,
    rank: rankOf(priority, runAt, rules.agingMs),
    createdAt: now,
    runAt,
    alarmAt: firstAlarm(now, task),
    dependsOn,
    join: task.join ?? 'all',
    quota: share?.quota,
    rules: share?.rules,
  };
}

/** Whether two submissions say the same: as JSON, whatever the order of keys. */
export function isSameContent(a: TaskIdentity, b: TaskIdentity): boolean {
  const isSameText = a.submission !== '' && a.submission === b.submission;
  return isSameText || isDeepStrictEqual(contentOf(a), contentOf(b));
}

/** A damaged text stands for itself. */
function contentOf({ content, submission }: TaskIdentity): unknown {
  if (content !== undefined) return content;
  try {
    return JSON.parse(submission);
  } catch {
    return submission;
  }
}

/**
 * The stored submission, or null when it, or a column that routes it, is not what was submitted. Hash first:
 * damaged text is never parsed.
 */
export function intactSubmission(record: TaskIdentity): NewTask | null {
  const known = foreseen.get(record);
  if (known === undefined) return readIntact(record);
  // Whoever gets it may change it.
  foreseen.delete(record);
  return known;
}

/** Reads the submission of a record while its claim is still under way: then the task need not wait for that. */
export function foreseeSubmission(record: TaskIdentity): void {
  foreseen.set(record, readIntact(record));
}

const foreseen = new WeakMap<TaskIdentity, NewTask | null>();

function readIntact(record: TaskIdentity): NewTask | null {
  if (hashOf(record.id, record.submission) !== record.hash) return null;
  const task = JSON.parse(record.submission) as NewTask;
  const routedAsSubmitted =
    claimedType(task) === record.agentType &&
    (task.agent ?? null) === record.agent &&
    priorityOf(task) === record.priority;
  return routedAsSubmitted ? task : null;
}

/** The type under which it is claimed. */
function claimedType({ agentType, approval }: NewTask): string | null {
  return approval ? APPROVAL_TYPE : (agentType ?? null);
}

/** The id is hashed too, so that a submission that ends up under another id is noticed. */
export function hashOf(id: string, submission: string): string {
  return hash('sha256', `${id}\n${submission}`, 'base64');
}

function checkConditions(
  { validate }: NewTask,
  edges: readonly Edge[],
  at: Place,
  { hasCondition }: SubmissionRules,
): void {
  for (const [i, { condition }] of edges.entries()) {
    if (condition !== null && !isWhereText(condition) && !hasCondition(condition)) {
      throw new UnknownConditionError(at(`dependsOn[${i}].on.custom`), condition);
    }
  }
  if (validate?.custom !== undefined && !hasCondition(validate.custom))
    throw new UnknownConditionError(at('validate.custom'), validate.custom);
}
