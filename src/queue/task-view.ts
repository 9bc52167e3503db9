import { cloneJson, type JsonObject, type JsonValue } from '../json.ts';
import { APPROVAL_TYPE } from './approval.ts';
import { toDependency } from './dependencies.ts';
import type { Details } from './details.ts';
import type { Quota } from './quota.ts';
import { DEFAULT_RETRY } from './retry.ts';
import type { NewTask, RetryOptions, RetryPolicy, Task } from './task.ts';
import type { TaskRecord } from './task-store.ts';

/** What holds for tasks that do not say otherwise. */
export interface TaskDefaults {
  readonly maxRetries: number;
  readonly maxCrashes: number;
  readonly retry: RetryOptions;
  readonly agentTypes: Readonly<Record<string, { readonly timeoutMs?: number | undefined }>>;
}

/**
 * The stored submission, for whoever asks to keep or change; an empty one where damage made it unreadable, so
 * that lists and stats still answer.
 */
export function readSubmission({ content, submission }: TaskRecord): NewTask {
  if (content) return cloneContent(content);
  try {
    const task: unknown = JSON.parse(submission);
    if (typeof task === 'object' && task !== null) return task as NewTask;
  } catch {
    // No JSON: damaged too.
  }
  return { payload: {} };
}

/**
 * Field by field, as the content itself was made: so they share a hidden class, which lasts while any task is
 * stored, and with it the compiled code that reads submissions.
 */
function cloneContent(content: NewTask): NewTask {
  const copy: Record<string, unknown> = {};
  for (const field in content) {
    const item = content[field as keyof NewTask];
    // Nobody is shown the limits as they were submitted; see addQuota().
    copy[field] = field === 'limits' ? item : cloneJson(item);
  }
  return copy as unknown as NewTask;
}

export function retryPolicyOf(submission: NewTask, defaults: TaskDefaults): RetryPolicy {
  // Neither holds a field that is undefined: JSON has none, and the options were cleaned.
  return { ...DEFAULT_RETRY, ...defaults.retry, ...submission.retry } as RetryPolicy;
}

/** The time-out of one attempt that task or agent type set; the agent's and the queue's come after them. */
export function timeoutOf(submission: NewTask, defaults: TaskDefaults): number | undefined {
  const { agentType } = submission;
  const ofType = agentType !== undefined && Object.hasOwn(defaults.agentTypes, agentType);
  return submission.timeoutMs ?? (ofType ? defaults.agentTypes[agentType]?.timeoutMs : undefined);
}

/** Texts of a record and what they say, so that they need not be read. */
export interface KnownTexts {
  readonly result: string | null;
  readonly value?: JsonValue | undefined;
  readonly details?: string | null;
  readonly shown?: Details;
}

/** The task as its users see it. `known`: a result that it may have. */
export function toTask(
  record: TaskRecord,
  submission: NewTask,
  defaults: TaskDefaults,
  known?: KnownTexts,
): Task {
  const task: Task = {
    id: record.id,
    payload: submission.payload as JsonObject,
    priority: record.priority,
    status: record.status,
    attempt: record.retryCount + record.crashes + 1,
    retryCount: record.retryCount,
    maxRetries: submission.maxRetries ?? defaults.maxRetries,
    crashes: record.crashes,
    maxCrashes: submission.maxCrashes ?? defaults.maxCrashes,
    runAt: record.runAt,
    createdAt: record.createdAt,
    dependsOn: submission.dependsOn ? submission.dependsOn.map(toDependency) : [],
    blockedBy: record.blockedBy,
    metadata: (submission.metadata as JsonObject | undefined) ?? {},
    version: record.version,
  };
  addOptional(task as Writable<Task>, record, submission, timeoutOf(submission, defaults));
  if (record.details !== null) Object.assign(task, detailsOf(record.details, known));
  if (record.result !== null) (task as Writable<Task>).result = resultOf(record.result, known);
  addClocks(task as Writable<Task>, submission);
  return task;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function resultOf(text: string, known: KnownTexts | undefined): JsonValue {
  return known?.value !== undefined && known.result === text ? known.value : parseOr(text, null);
}

function detailsOf(text: string, known: KnownTexts | undefined): Details {
  return known?.shown !== undefined && known.details === text ? known.shown : shownDetails(text);
}

/** Absent rather than undefined, field by field: this is on the path of every claim and settlement. */
function addOptional(
  task: Writable<Task>,
  record: TaskRecord,
  submission: NewTask,
  timeoutMs: number | undefined,
): void {
  if (record.agentType !== null && record.agentType !== APPROVAL_TYPE) task.agentType = record.agentType;
  if (record.agent !== null) task.agent = record.agent;
  if (timeoutMs !== undefined) task.timeoutMs = timeoutMs;
  if (submission.join === 'any') task.join = 'any';
  if (submission.parent !== undefined) task.parent = submission.parent;
  if (submission.budget !== undefined) task.budget = submission.budget;
  if (record.quota !== undefined) addQuota(task, record.quota);
  if (record.startedAt !== null) task.startedAt = record.startedAt;
  if (record.completedAt !== null) task.completedAt = record.completedAt;
  if (record.owner !== null) {
    task.lease = { owner: record.owner, fence: record.fence, expiresAt: record.leaseExpiresAt ?? 0 };
  }
}

function addClocks(
  task: Writable<Task>,
  { idleTimeoutMs, deadline, approval }: Pick<NewTask, 'idleTimeoutMs' | 'deadline' | 'approval'>,
): void {
  if (idleTimeoutMs !== undefined) task.idleTimeoutMs = idleTimeoutMs;
  if (deadline !== undefined) task.deadline = deadline;
  if (approval !== undefined) task.approval = approval;
}

function shownDetails(text: string): Details {
  const details = parseOr<Details>(text, {});
  if (details.clock === undefined) return details;
  const { clock: _, ...shown } = details;
  return shown;
}

function addQuota(task: Writable<Task>, { limits, fairKey }: Quota): void {
  if (limits.length > 0) task.limits = limits;
  if (fairKey !== null) task.fairKey = fairKey;
}

function parseOr<T>(text: string, fallback: T): T {
  try {
    return JSON.parse(text);
  } catch {
    return fallback;
  }
}
