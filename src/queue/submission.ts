import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { InvalidOptionError, InvalidTaskError, TooLargeError, UnknownConditionError } from '../errors.ts';
import { findJsonProblem } from '../json.ts';
import {
  CRASHES_MAX,
  DEPENDENCIES_MAX,
  ID_PATTERN,
  INTERVAL_MS_MAX,
  METADATA_BYTES_MAX,
  RETRIES_MAX,
  TIME_MS_MAX,
} from './bounds.ts';
import { toEdge } from './dependencies.ts';
import { PRIORITY_MAX, rankOf } from './rank.ts';
import type { NewTask, RetryOptions } from './task.ts';
import type { Edge, NewRecord, TaskIdentity } from './task-store.ts';

const PRIORITY_NAMES: Readonly<Record<string, number>> = { critical: 10, high: 8, medium: 5, low: 2 };
const PRIORITY_DEFAULT = 5;

/** What the validation of a submission needs to know of its queue. */
export interface SubmissionRules {
  readonly payloadBytesMax: number;
  readonly agingMs: number;
  readonly newId: () => string;
  readonly hasCondition: (name: string) => boolean;
  /** Whether the store can be trusted to return what it was given. */
  readonly isHashed: boolean;
}

const RETRY_FIELDS = ['initialInterval', 'backoffFactor', 'maxInterval', 'jitter'];
const NO_EDGES: readonly Edge[] = [];

const FIELDS: Readonly<Record<string, (value: unknown, path: string) => void>> = {
  payload: () => {},
  id: checkId,
  priority: checkPriority,
  agentType: checkId,
  agent: checkId,
  dependsOn: checkDependencies,
  runAt: (value, path) => checkNumber(value, path, 0, TIME_MS_MAX, 'a time in ms since the epoch'),
  delayMs: (value, path) => checkNumber(value, path, 0, INTERVAL_MS_MAX, 'a delay in ms'),
  timeoutMs: (value, path) => checkNumber(value, path, 1, INTERVAL_MS_MAX, 'a time-out in ms'),
  maxRetries: (value, path) => checkInteger(value, path, 0, RETRIES_MAX),
  maxCrashes: (value, path) => checkInteger(value, path, 1, CRASHES_MAX),
  retry: checkRetry,
  metadata: (value, path) => checkJsonObject(value, path),
};

/**
 * Checks a submission and turns it into the record to store. `path` is where it stands, e.g. `tasks[3]`.
 * Throws InvalidTaskError, TooLargeError or UnknownConditionError, each naming the place.
 */
export function toRecord(task: NewTask, path: string, now: number, rules: SubmissionRules): NewRecord {
  checkFields(task, path);
  const submission = JSON.stringify(task);
  checkSizes(task, path, submission, rules.payloadBytesMax);
  const dependsOn = task.dependsOn ? task.dependsOn.map(toEdge) : NO_EDGES;
  checkConditions(dependsOn, path, rules);
  const priority = priorityOf(task);
  const runAt = Math.max(task.runAt ?? now, now + (task.delayMs ?? 0));
  const id = task.id ?? rules.newId();
  return {
    id,
    submission,
    hash: rules.isHashed ? hashOf(id, submission) : '',
    priority,
    agentType: task.agentType ?? null,
    agent: task.agent ?? null,
    rank: rankOf(priority, runAt, rules.agingMs),
    createdAt: now,
    runAt,
    dependsOn,
  };
}

/** Whether two submissions say the same: as JSON, whatever the order of keys. */
export function isSameContent(a: TaskIdentity, b: TaskIdentity): boolean {
  return (
    a.submission === b.submission || isDeepStrictEqual(JSON.parse(a.submission), JSON.parse(b.submission))
  );
}

/**
 * The stored submission, or null when it, or a column that routes it, is not what was submitted. Hash first:
 * damaged text is never parsed.
 */
export function intactSubmission(record: TaskIdentity): NewTask | null {
  if (hashOf(record.id, record.submission) !== record.hash) return null;
  const task = JSON.parse(record.submission) as NewTask;
  const routedAsSubmitted =
    (task.agentType ?? null) === record.agentType &&
    (task.agent ?? null) === record.agent &&
    priorityOf(task) === record.priority;
  return routedAsSubmitted ? task : null;
}

/** The id is hashed too, so that a submission that ends up under another id is noticed. */
export function hashOf(id: string, submission: string): string {
  return hash('sha256', `${id}\n${submission}`, 'base64');
}

export function priorityOf(task: Pick<NewTask, 'priority'>): number {
  const priority = task.priority ?? PRIORITY_DEFAULT;
  return typeof priority === 'number' ? priority : PRIORITY_NAMES[priority]!;
}

/** A priority as a number; throws InvalidOptionError naming `option`. */
export function toPriority(priority: unknown, option: string): number {
  const named = typeof priority === 'string' && Object.hasOwn(PRIORITY_NAMES, priority);
  if (named) return PRIORITY_NAMES[priority]!;
  if (isIntegerIn(priority, 1, PRIORITY_MAX)) return priority as number;
  throw new InvalidOptionError(option, "1–10, 'critical', 'high', 'medium' or 'low'", describe(priority));
}

function checkFields(task: unknown, path: string): void {
  if (typeof task !== 'object' || task === null || Array.isArray(task)) {
    throw new InvalidTaskError(path, `expected a task with a payload, got ${describe(task)}`);
  }
  checkOwn(task, Object.keys(FIELDS), path);
  for (const key in task) {
    const value = (task as Record<string, unknown>)[key];
    if (!Object.hasOwn(FIELDS, key)) {
      throw new InvalidTaskError(
        `${path}.${key.slice(0, 64)}`,
        'a submission has no such field; see NewTask',
      );
    }
    if (value !== undefined) FIELDS[key]!(value, `${path}.${key}`);
  }
  checkJsonObject((task as { payload?: unknown }).payload, `${path}.payload`);
}

/** What an object only inherits, e.g. from a getter of its class, can be read but is not in its JSON. */
function checkOwn(value: object, fields: readonly string[], path: string): void {
  if (Object.getPrototypeOf(value) === Object.prototype) return;
  const lost = [...fields, 'toJSON'].find((field) => field in value && !Object.hasOwn(value, field));
  if (lost !== undefined)
    throw new InvalidTaskError(
      `${path}.${lost}`,
      'expected a property of the object itself, got an inherited one',
    );
}

function checkSizes(task: NewTask, path: string, submission: string, payloadBytesMax: number): void {
  // A string has at most three bytes per UTF-16 unit, so that most submissions need no second look.
  if (submission.length * 3 <= Math.min(payloadBytesMax, METADATA_BYTES_MAX)) return;
  checkBytes(task.payload, `${path}.payload`, 'payloadBytesMax', payloadBytesMax);
  if (task.metadata) checkBytes(task.metadata, `${path}.metadata`, 'METADATA_BYTES_MAX', METADATA_BYTES_MAX);
}

function checkBytes(value: unknown, path: string, bound: string, limit: number): void {
  const bytes = Buffer.byteLength(JSON.stringify(value));
  if (bytes > limit) throw new TooLargeError(path, bound, limit, bytes, 'bytes of JSON');
}

function checkConditions(edges: readonly Edge[], path: string, rules: SubmissionRules): void {
  edges.forEach((edge, i) => {
    if (edge.condition !== null && !rules.hasCondition(edge.condition)) {
      throw new UnknownConditionError(`${path}.dependsOn[${i}].on.custom`, edge.condition);
    }
  });
}

function checkId(value: unknown, path: string): void {
  if (typeof value !== 'string' || !ID_PATTERN.test(value)) {
    throw new InvalidTaskError(
      path,
      `expected 1–128 characters of A–Z a–z 0–9 _ . : -, got ${describe(value)}`,
    );
  }
}

function checkPriority(value: unknown, path: string): void {
  const ok =
    typeof value === 'string' ? Object.hasOwn(PRIORITY_NAMES, value) : isIntegerIn(value, 1, PRIORITY_MAX);
  if (!ok) {
    throw new InvalidTaskError(
      path,
      `expected 1–10, 'critical', 'high', 'medium' or 'low', got ${describe(value)}`,
    );
  }
}

function checkDependencies(value: unknown, path: string): void {
  if (!Array.isArray(value)) throw new InvalidTaskError(path, `expected a list, got ${describe(value)}`);
  if (value.length > DEPENDENCIES_MAX) {
    throw new TooLargeError(path, 'DEPENDENCIES_MAX', DEPENDENCIES_MAX, value.length, 'dependencies');
  }
  value.forEach((dependency: unknown, i) => {
    checkDependency(dependency, `${path}[${i}]`);
  });
}

function checkDependency(value: unknown, path: string): void {
  if (typeof value === 'string') {
    checkId(value, path);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    throw new InvalidTaskError(path, `expected an id or { id, on }, got ${describe(value)}`);
  }
  const unknownKey = Object.keys(value).find((key) => key !== 'id' && key !== 'on');
  if (unknownKey !== undefined)
    throw new InvalidTaskError(`${path}.${unknownKey.slice(0, 64)}`, 'a dependency has only id and on');
  checkOwn(value, ['id', 'on'], path);
  const { id, on } = value as { id?: unknown; on?: unknown };
  checkId(id, `${path}.id`);
  if (on === undefined || on === 'success' || on === 'failure' || on === 'completion') return;
  if (typeof on !== 'object' || on === null || Object.keys(on).join() !== 'custom') {
    throw new InvalidTaskError(
      `${path}.on`,
      `expected 'success', 'failure', 'completion' or { custom: name }, got ${describe(on)}`,
    );
  }
  checkId((on as { custom: unknown }).custom, `${path}.on.custom`);
}

function checkRetry(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null) {
    throw new InvalidTaskError(path, `expected a retry policy, got ${describe(value)}`);
  }
  checkOwn(value, RETRY_FIELDS, path);
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) checkRetryField(key, item, `${path}.${key.slice(0, 64)}`);
  }
}

function checkRetryField(key: string, value: unknown, path: string): void {
  if (key === 'jitter') {
    if (typeof value !== 'boolean')
      throw new InvalidTaskError(path, `expected true or false, got ${describe(value)}`);
  } else if (key === 'backoffFactor') {
    checkNumber(value, path, 1, 1_000, 'a factor');
  } else if (key === 'initialInterval' || key === 'maxInterval') {
    checkNumber(value, path, 0, INTERVAL_MS_MAX, 'an interval in ms');
  } else {
    throw new InvalidTaskError(
      path,
      'a retry policy has initialInterval, backoffFactor, maxInterval and jitter',
    );
  }
}

/** A queue's own retry policy obeys the same rules as a task's. */
export function checkRetryPolicy(policy: RetryOptions, path: string): void {
  checkRetry(policy, path);
}

function checkJsonObject(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidTaskError(path, `expected a JSON object, got ${describe(value)}`);
  }
  const found = findJsonProblem(value);
  if (found) throw new InvalidTaskError(path + found.path, found.problem);
}

function checkNumber(value: unknown, path: string, min: number, max: number, what: string): void {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw new InvalidTaskError(path, `expected ${what} from ${min} to ${max}, got ${describe(value)}`);
  }
}

function checkInteger(value: unknown, path: string, min: number, max: number): void {
  if (!isIntegerIn(value, min, max)) {
    throw new InvalidTaskError(path, `expected a whole number from ${min} to ${max}, got ${describe(value)}`);
  }
}

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** Short, and never the content of an object: errors carry no user data beyond the offending scalar. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'string') return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
  return typeof value === 'object' || typeof value === 'function' ? `a ${typeof value}` : String(value);
}
