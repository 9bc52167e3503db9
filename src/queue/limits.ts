import { InvalidOptionError, InvalidTaskError, TooLargeError } from '../errors.ts';
import { ID_PATTERN, INTERVAL_MS_MAX, LIMITS_MAX, PLACES_MAX } from './bounds.ts';
import { describe } from './description.ts';
import type { Gate, Rate } from './gate.ts';
import { ruleOf, type Share, shareUnder } from './share.ts';
import type { NewTask } from './task.ts';
import type { GateChange } from './task-store.ts';

/**
 * A bound that all tasks of a key share, in every process. `key` may be a template: `tenant:{metadata.tenant}`,
 * with places of the task (agentType, agent, metadata.…, payload.…) in braces. Several limits may hold at once.
 */
export interface Limit {
  /** `[A-Za-z0-9_.:-]`, 1–128 characters once it is filled in. */
  readonly key: string;
  /** So many tasks of the key run at a time; the last one submitted, or set, counts. @default as it is, or unbounded */
  readonly max?: number | undefined;
  /** So many starts of the key in any `perMs`, by weight. @default as it is, or unbounded */
  readonly rate?: Rate | undefined;
  /** What a start counts for under the rate, e.g. the tokens expected; see `Outcome.spent`. @default 1 */
  readonly weight?: number | undefined;
}

/** A key as it stands. */
export interface LimitState {
  readonly key: string;
  /** Tasks of the key that are leased now, or held ahead by another process (`HybridTaskQueue`). */
  readonly used: number;
  readonly max?: number;
  readonly rate?: Rate;
  /** What the starts of the last `rate.perMs` weigh. */
  readonly spent?: number;
  /** Nothing of the key starts before; ms since the epoch. */
  readonly closedUntil?: number;
  readonly paused: boolean;
}

/**
 * Keys of the threads that tasks share: one task at a time. Children run on threads of their own. Such a gate knows
 * its tasks until they are purged, not until they end: one that no task names any more is of a thread that can go.
 */
export const THREAD_LIMIT = 'thread:';

/** Whether it is the key of a thread. */
export function isThreadKey(key: string): boolean {
  return key.startsWith(THREAD_LIMIT);
}

/** The threads among the keys of forgotten gates. */
export function threadsOf(keys: readonly string[]): string[] {
  return keys.filter(isThreadKey).map((key) => key.slice(THREAD_LIMIT.length));
}

const NO_LIMITS: readonly Limit[] = [];
const KEY_EXPECTED = '1–128 characters of A–Z a–z 0–9 _ . : -';
const FIELDS = ['key', 'max', 'rate', 'weight'];
const PLACE = /\{([^{}]*)\}/g;
const PLACE_NAME = /^(agentType|agent|(metadata|payload)(\.[^.{}]+)+)$/;

type At = (field?: string) => string;

/** The check of `NewTask.limits`. Throws InvalidTaskError or TooLargeError naming the place. */
export function checkLimits(value: unknown, at: At, field: string): void {
  if (!Array.isArray(value)) throw new InvalidTaskError(at(field), `expected a list, got ${describe(value)}`);
  if (value.length > LIMITS_MAX)
    throw new TooLargeError(at(field), 'LIMITS_MAX', LIMITS_MAX, value.length, 'limits');
  value.forEach((limit: unknown, i) => {
    const problem = problemOf(limit);
    if (problem) throw new InvalidTaskError(at(`${field}[${i}]${problem[0]}`), problem[1]);
  });
}

/** The check of the queue's own limits. Throws InvalidOptionError. */
export function checkLimitOptions(limits: readonly Limit[]): readonly Limit[] {
  if (!Array.isArray(limits)) throw new InvalidOptionError('limits', 'a list of limits', describe(limits));
  limits.forEach((limit: Limit, i) => {
    const problem = problemOf(limit);
    if (problem) throw new InvalidOptionError(`limits[${i}]${problem[0]}`, problem[1], describe(limit));
  });
  return limits;
}

/** What is said of one key by hand. Throws InvalidOptionError. */
export function toGateChange(key: string, limit: Omit<Limit, 'key' | 'weight'>): GateChange {
  if (typeof limit !== 'object' || limit === null)
    throw new InvalidOptionError('limit', '{ max } or { rate }', describe(limit));
  const problem = problemOf({ ...limit, key });
  if (problem) throw new InvalidOptionError(`limit${problem[0]}`, problem[1], describe(limit));
  requireKey(key);
  return { key, rule: ruleOf(limit) };
}

export function requireKey(key: unknown): void {
  if (typeof key !== 'string' || !ID_PATTERN.test(key))
    throw new InvalidOptionError('key', KEY_EXPECTED, describe(key));
}

/**
 * The task's share of what it is limited by: its own limits, then the queue's, whose templates count only where
 * the task has all their places. null where nothing limits it.
 *
 * @throws InvalidTaskError naming the place, e.g. `tasks[3].limits[0].key`, or `tasks[3].metadata.tenant` for what
 * fills a template of the queue's to no key.
 */
export function shareOf(task: NewTask, templates: readonly Limit[], at: At): Share | null {
  const { limits: own = NO_LIMITS, fairKey = null, fairWeight = 1 } = task;
  if (own.length === 0 && templates.length === 0 && fairKey === null) return null;
  const limits = templates.length === 0 && arePlain(own) ? own : resolved(task, own, templates, at);
  if (limits.length === 0 && fairKey === null) return null;
  return shareUnder(limits, fairKey, fairWeight);
}

/** Whether they stand for themselves: no places to fill in, and no key twice. */
function arePlain(limits: readonly Limit[]): boolean {
  for (const [i, { key }] of limits.entries()) {
    if (key.includes('{')) return false;
    for (let before = 0; before < i; before++) if (limits[before]!.key === key) return false;
  }
  return true;
}

function resolved(
  task: NewTask,
  own: readonly Limit[],
  templates: readonly Limit[],
  at: At,
): readonly Limit[] {
  const limits: Limit[] = [];
  const add = (limit: Limit, key: string): void => {
    if (limits.some((other) => other.key === key)) return;
    limits.push(key === limit.key ? limit : { ...limit, key });
  };
  own.forEach((limit, i) => {
    add(
      limit,
      filledIn(limit.key, task, () => at(`limits[${i}].key`)),
    );
  });
  for (const limit of templates) {
    const key = keyOfQueue(limit.key, task, at);
    if (key !== null) add(limit, key);
  }
  if (limits.length > LIMITS_MAX)
    throw new TooLargeError(
      at('limits'),
      'LIMITS_MAX',
      LIMITS_MAX,
      limits.length,
      "limits with the queue's own",
    );
  return limits;
}

export function toLimitState(gate: Gate, now: number): LimitState {
  const { key, used, max, rate, starts, closedUntil, isPaused } = gate;
  return {
    key,
    used,
    ...(max !== null && { max }),
    ...(rate !== null && {
      rate,
      spent: starts.reduce((sum, [from, weight]) => (from > now - rate.perMs ? sum + weight : sum), 0),
    }),
    ...(closedUntil > now && { closedUntil }),
    paused: isPaused,
  };
}

function isUnknown(field: string): boolean {
  return !FIELDS.includes(field);
}

/** The place in the limit, and what is wrong there; null where nothing is. */
function problemOf(limit: unknown): [place: string, problem: string] | null {
  if (typeof limit !== 'object' || limit === null)
    return ['', `expected { key, max } or { key, rate }, got ${describe(limit)}`];
  const unknown = Object.keys(limit).find(isUnknown);
  if (unknown !== undefined) return [`.${unknown.slice(0, 64)}`, `expected one of ${FIELDS.join(', ')}`];
  const { key, max, rate, weight } = limit as Record<string, unknown>;
  if (typeof key !== 'string' || !isTemplate(key))
    return ['.key', `expected ${KEY_EXPECTED} or places like {metadata.tenant}, got ${describe(key)}`];
  if (max !== undefined && !isCount(max, 0))
    return ['.max', `expected a whole number from 0 to ${PLACES_MAX}, got ${describe(max)}`];
  if (weight !== undefined && !isCount(weight, 0))
    return ['.weight', `expected a whole number from 0 to ${PLACES_MAX}, got ${describe(weight)}`];
  return rateProblem(rate, typeof weight === 'number' ? weight : 1);
}

function rateProblem(rate: unknown, weight: number): [place: string, problem: string] | null {
  if (rate === undefined) return null;
  if (typeof rate !== 'object' || rate === null || !hasOnlyRate(rate))
    return ['.rate', `expected { max, perMs }, got ${describe(rate)}`];
  const { max, perMs } = rate as Record<string, unknown>;
  if (!isCount(max, 1))
    return ['.rate.max', `expected a whole number from 1 to ${PLACES_MAX}, got ${describe(max)}`];
  if (typeof perMs !== 'number' || !(perMs >= 1 && perMs <= INTERVAL_MS_MAX))
    return ['.rate.perMs', `expected a time in ms from 1 to ${INTERVAL_MS_MAX}, got ${describe(perMs)}`];
  if (weight > (max as number))
    return ['.weight', `expected at most ${max}, the rate of the key: it would never start`];
  return null;
}

/** Not sorted and joined: it is asked for each task. */
function hasOnlyRate(rate: object): boolean {
  return Object.keys(rate).length === 2 && Object.hasOwn(rate, 'max') && Object.hasOwn(rate, 'perMs');
}

function isCount(value: unknown, min: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= PLACES_MAX;
}

function isTemplate(key: string): boolean {
  if (ID_PATTERN.test(key)) return true;
  if (key.length > 256) return false;
  const names = [...key.matchAll(PLACE)].map((match) => match[1]!);
  return names.every((name) => PLACE_NAME.test(name)) && ID_PATTERN.test(key.replaceAll(PLACE, 'x'));
}

function filledIn(template: string, task: NewTask, path: () => string): string {
  if (!template.includes('{')) return template;
  const key = filled(template, task);
  if (key === null)
    throw new InvalidTaskError(path(), `the task has no text or number at one of the places of ${template}`);
  if (!ID_PATTERN.test(key))
    throw new InvalidTaskError(path(), `expected ${KEY_EXPECTED}, got ${describe(key)}`);
  return key;
}

/**
 * The key of one of the queue's own limits; null where the task lacks a place of it.
 *
 * @throws InvalidTaskError for values that make no key, naming the place of one: the task would run unlimited.
 */
function keyOfQueue(template: string, task: NewTask, at: At): string | null {
  const key = filled(template, task);
  if (key !== null && ID_PATTERN.test(key)) return key;
  const places = [...template.matchAll(PLACE)].map((match) => match[1]!);
  const values = places.map((place) => valueAt(task, place.split('.')));
  if (values.some((value) => value === undefined || value === null)) return null;
  // Where each alone would do, they are too long together.
  const bad = values.findIndex((value) => !isWord(value) || !ID_PATTERN.test(`${value}`));
  const i = bad === -1 ? values.length - 1 : bad;
  const expected = `a text or number that fills the queue's limit ${template} to ${KEY_EXPECTED}`;
  throw new InvalidTaskError(at(places[i]), `expected ${expected}, got ${describe(values[i])}`);
}

/** The template with the task's values; null where one is missing. */
function filled(template: string, task: NewTask): string | null {
  if (!template.includes('{')) return template;
  let isWhole = true;
  const key = template.replaceAll(PLACE, (_, path: string) => {
    const value = valueAt(task, path.split('.'));
    if (isWord(value)) return `${value}`;
    isWhole = false;
    return '';
  });
  return isWhole ? key : null;
}

function isWord(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

function valueAt(task: NewTask, path: readonly string[]): unknown {
  let value: unknown = task;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}
