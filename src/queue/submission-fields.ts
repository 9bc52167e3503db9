import { InvalidTaskError, TooLargeError } from '../errors.ts';
import { boundJsonBytes, findJsonProblem } from '../json.ts';
import {
  APPROVAL_QUESTION_MAX,
  CRASHES_MAX,
  DEPENDENCIES_MAX,
  FAIR_WEIGHT_MAX,
  ID_PATTERN,
  INTERVAL_MS_MAX,
  METADATA_BYTES_MAX,
  RETRIES_MAX,
  TIME_MS_MAX,
} from './bounds.ts';
import { checkBudgets } from './budget.ts';
import { describe } from './description.ts';
import { checkLimits } from './limits.ts';
import { isPriority } from './priority.ts';
import type { NewTask, RetryOptions } from './task.ts';
import { checkWhere } from './where.ts';

/** Where a submission, or one of its fields, stands in what was passed, e.g. `tasks[3].priority`; for errors alone. */
export type Place = (field?: string) => string;

/** Places in what the caller knows as `name`. */
export function placeIn(name: string): Place {
  return (field) => (field ? `${name}.${field}` : name);
}

type Check = (value: unknown, at: Place, field: string) => void;

const RETRY_FIELDS = ['initialInterval', 'backoffFactor', 'maxInterval', 'jitter'];

const DEPENDENCY_FIELDS = ['id', 'on', 'where'];

const APPROVAL_FIELDS = ['question', 'timeoutMs', 'onTimeout'];

const RUN_FIELDS = [
  'agentType',
  'agent',
  'timeoutMs',
  'idleTimeoutMs',
  'validate',
  'limits',
  'budget',
  'fairKey',
] as const;

const checkFactor = numberFrom(1, 1_000, 'a factor');

const checkInterval = numberFrom(0, INTERVAL_MS_MAX, 'an interval in ms');

const checkTimeout = numberFrom(1, INTERVAL_MS_MAX, 'a time-out in ms');

const checkDefault = oneOf('approve', 'reject');

const FIELDS: ReadonlyMap<string, Check> = new Map(
  Object.entries({
    payload: () => {},
    id: checkId,
    priority: checkPriority,
    agentType: checkId,
    agent: checkId,
    dependsOn: checkDependencies,
    join: checkJoin,
    runAt: numberFrom(0, TIME_MS_MAX, 'a time in ms since the epoch'),
    delayMs: numberFrom(0, INTERVAL_MS_MAX, 'a delay in ms'),
    timeoutMs: checkTimeout,
    idleTimeoutMs: checkTimeout,
    expiresInMs: numberFrom(1, INTERVAL_MS_MAX, 'a time to expire in ms'),
    onExpiry: oneOf('fail', 'skip'),
    deadline: numberFrom(0, TIME_MS_MAX, 'a time in ms since the epoch'),
    approval: checkApproval,
    maxRetries: integerFrom(0, RETRIES_MAX),
    maxCrashes: integerFrom(1, CRASHES_MAX),
    retry: checkRetry,
    metadata: (value, at, field) => checkJson(value, at, field, 'METADATA_BYTES_MAX', METADATA_BYTES_MAX),
    validate: checkValidate,
    // Who may give it is checked with the rules.
    parent: () => {},
    limits: checkLimits,
    budget: checkBudgets,
    fairKey: checkId,
    fairWeight: integerFrom(1, FAIR_WEIGHT_MAX),
  } satisfies Record<keyof NewTask, Check>),
);

const FIELD_NAMES = [...FIELDS.keys()];

export function checkFields(task: unknown, at: Place): void {
  if (typeof task !== 'object' || task === null || Array.isArray(task)) {
    throw new InvalidTaskError(at(), `expected a task with a payload, got ${describe(task)}`);
  }
  checkOwn(task, FIELD_NAMES, at);
  for (const field in task) {
    const check = FIELDS.get(field);
    if (!check)
      throw new InvalidTaskError(at(field.slice(0, 64)), 'a submission has no such field; see NewTask');
    const value = (task as Record<string, unknown>)[field];
    if (value !== undefined) check(value, at, field);
  }
}

/** What an object only inherits, e.g. from a getter of its class, can be read but is not in its JSON. */
function checkOwn(value: object, fields: readonly string[], at: Place): void {
  if (Object.getPrototypeOf(value) === Object.prototype) return;
  const lost = [...fields, 'toJSON'].find((field) => field in value && !Object.hasOwn(value, field));
  if (lost !== undefined)
    throw new InvalidTaskError(at(lost), 'expected a property of the object itself, got an inherited one');
}

/** A JSON object of at most `limit` bytes. Nearly all of them are found to be one in a single walk. */
export function checkJson(value: unknown, at: Place, field: string, bound: string, limit: number): void {
  checkObject(value, at, field);
  const bytesMax = boundJsonBytes(value);
  if (bytesMax <= limit) return;
  const found = bytesMax === Number.POSITIVE_INFINITY ? findJsonProblem(value) : null;
  if (found) throw new InvalidTaskError(at(field) + found.path, found.problem);
  const bytes = Buffer.byteLength(JSON.stringify(value));
  if (bytes > limit) throw new TooLargeError(at(field), bound, limit, bytes, 'bytes of JSON');
}

function checkId(value: unknown, at: Place, field: string): void {
  if (typeof value !== 'string' || !ID_PATTERN.test(value)) {
    throw new InvalidTaskError(
      at(field),
      `expected 1–128 characters of A–Z a–z 0–9 _ . : -, got ${describe(value)}`,
    );
  }
}

function checkPriority(value: unknown, at: Place, field: string): void {
  if (!isPriority(value)) {
    throw new InvalidTaskError(
      at(field),
      `expected 1–10, 'critical', 'high', 'medium' or 'low', got ${describe(value)}`,
    );
  }
}

function checkDependencies(value: unknown, at: Place, field: string): void {
  if (!Array.isArray(value)) throw new InvalidTaskError(at(field), `expected a list, got ${describe(value)}`);
  if (value.length > DEPENDENCIES_MAX) {
    throw new TooLargeError(at(field), 'DEPENDENCIES_MAX', DEPENDENCIES_MAX, value.length, 'dependencies');
  }
  value.forEach((dependency: unknown, i) => {
    checkDependency(dependency, at, `${field}[${i}]`);
  });
}

function checkDependency(value: unknown, at: Place, field: string): void {
  if (typeof value === 'string') {
    checkId(value, at, field);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    throw new InvalidTaskError(
      at(field),
      `expected an id, { id, on } or { id, where }, got ${describe(value)}`,
    );
  }
  const unknownKey = Object.keys(value).find((key) => !DEPENDENCY_FIELDS.includes(key));
  if (unknownKey !== undefined)
    throw new InvalidTaskError(
      at(`${field}.${unknownKey.slice(0, 64)}`),
      'a dependency has only id, and on or where',
    );
  checkOwn(value, DEPENDENCY_FIELDS, (own) => at(`${field}.${own}`));
  const { id, on, where } = value as { id?: unknown; on?: unknown; where?: unknown };
  checkId(id, at, `${field}.id`);
  if (where !== undefined) {
    if (on !== undefined) throw new InvalidTaskError(at(`${field}.on`), 'expected none beside where');
    checkWhere(where, at, `${field}.where`);
  } else checkOn(on, at, `${field}.on`);
}

function checkJoin(value: unknown, at: Place, field: string): void {
  if (value !== 'all' && value !== 'any')
    throw new InvalidTaskError(at(field), `expected 'all' or 'any', got ${describe(value)}`);
}

function checkOn(on: unknown, at: Place, field: string): void {
  if (on === undefined || on === 'success' || on === 'failure' || on === 'completion') return;
  if (typeof on !== 'object' || on === null || Object.keys(on).join() !== 'custom') {
    throw new InvalidTaskError(
      at(field),
      `expected 'success', 'failure', 'completion' or { custom: name }, got ${describe(on)}`,
    );
  }
  checkId((on as { custom: unknown }).custom, at, `${field}.custom`);
}

function checkValidate(value: unknown, at: Place, field: string): void {
  const keys = typeof value === 'object' && value !== null ? Object.keys(value).join() : '';
  if (keys !== 'where' && keys !== 'custom') {
    throw new InvalidTaskError(
      at(field),
      `expected { where: … } or { custom: name }, got ${describe(value)}`,
    );
  }
  const { where, custom } = value as { where?: unknown; custom?: unknown };
  if (keys === 'where') checkWhere(where, at, `${field}.where`);
  else checkId(custom, at, `${field}.custom`);
}

function checkApproval(value: unknown, at: Place, field: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidTaskError(at(field), `expected { question }, got ${describe(value)}`);
  checkOwn(value, APPROVAL_FIELDS, (own) => at(`${field}.${own}`));
  const unknown = Object.keys(value).find((key) => !APPROVAL_FIELDS.includes(key));
  if (unknown !== undefined)
    throw new InvalidTaskError(
      at(`${field}.${unknown.slice(0, 64)}`),
      'an approval has question, timeoutMs and onTimeout',
    );
  const { question, timeoutMs, onTimeout } = value as { [field: string]: unknown };
  if (typeof question !== 'string' || question === '' || question.length > APPROVAL_QUESTION_MAX)
    throw new InvalidTaskError(
      at(`${field}.question`),
      `expected 1–${APPROVAL_QUESTION_MAX} characters, got ${describe(question)}`,
    );
  if (timeoutMs !== undefined) checkTimeout(timeoutMs, at, `${field}.timeoutMs`);
  if (onTimeout !== undefined) checkDefault(onTimeout, at, `${field}.onTimeout`);
}

/** What says how a task runs has no place in one that nobody runs. */
export function checkNobodyRuns(task: NewTask, at: Place): void {
  const field = RUN_FIELDS.find((name) => task[name] !== undefined);
  if (field !== undefined) throw new InvalidTaskError(at(field), 'expected none: nobody runs an approval');
}

function oneOf(...words: readonly string[]): Check {
  return (value, at, field) => {
    if (words.includes(value as string)) return;
    const expected = words.map((word) => `'${word}'`).join(' or ');
    throw new InvalidTaskError(at(field), `expected ${expected}, got ${describe(value)}`);
  };
}

function checkRetry(value: unknown, at: Place, field: string): void {
  if (typeof value !== 'object' || value === null) {
    throw new InvalidTaskError(at(field), `expected a retry policy, got ${describe(value)}`);
  }
  checkOwn(value, RETRY_FIELDS, (own) => at(`${field}.${own}`));
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) checkRetryField(item, at, `${field}.${key.slice(0, 64)}`, key);
  }
}

function checkRetryField(value: unknown, at: Place, field: string, key: string): void {
  if (key === 'jitter') {
    if (typeof value !== 'boolean')
      throw new InvalidTaskError(at(field), `expected true or false, got ${describe(value)}`);
  } else if (key === 'backoffFactor') {
    checkFactor(value, at, field);
  } else if (key === 'initialInterval' || key === 'maxInterval') {
    checkInterval(value, at, field);
  } else {
    throw new InvalidTaskError(
      at(field),
      'a retry policy has initialInterval, backoffFactor, maxInterval and jitter',
    );
  }
}

/** A queue's own retry policy obeys the same rules as a task's. */
export function checkRetryPolicy(policy: RetryOptions, path: string): void {
  checkRetry(policy, (field = '') => field, path);
}

function checkObject(value: unknown, at: Place, field: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidTaskError(at(field), `expected a JSON object, got ${describe(value)}`);
  }
}

function numberFrom(min: number, max: number, what: string): Check {
  return (value, at, field) => {
    if (typeof value === 'number' && value >= min && value <= max) return;
    throw new InvalidTaskError(at(field), `expected ${what} from ${min} to ${max}, got ${describe(value)}`);
  };
}

function integerFrom(min: number, max: number): Check {
  return (value, at, field) => {
    if (isIntegerIn(value, min, max)) return;
    const expected = `a whole number from ${min} to ${max}`;
    throw new InvalidTaskError(at(field), `expected ${expected}, got ${describe(value)}`);
  };
}

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
