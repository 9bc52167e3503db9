import { InvalidTaskError, TooLargeError } from '../errors.ts';
import { asciiJson, findJsonProblem, type JsonValue } from '../json.ts';
import { WHERE_BYTES_MAX, WHERE_PLACES_MAX } from './bounds.ts';
import { describe } from './description.ts';
import type { Where, WhereTest } from './task.ts';

type Operator = keyof WhereTest;
type Found = JsonValue | undefined;

interface OperatorRule {
  readonly expected: string;
  fits(operand: unknown): boolean;
  holds(found: Found, operand: JsonValue): boolean;
}

const SCALAR = { expected: 'a text, a number, true, false or null', fits: isScalar };
const ORDERED = { expected: 'a number or a text', fits: isOrdered };

const OPERATORS: Readonly<Record<Operator, OperatorRule>> = {
  eq: { ...SCALAR, holds: (found, operand) => found === operand },
  ne: { ...SCALAR, holds: (found, operand) => found !== undefined && found !== operand },
  gt: { ...ORDERED, holds: (found, operand) => compare(found, operand) > 0 },
  gte: { ...ORDERED, holds: (found, operand) => compare(found, operand) >= 0 },
  lt: { ...ORDERED, holds: (found, operand) => compare(found, operand) < 0 },
  lte: { ...ORDERED, holds: (found, operand) => compare(found, operand) <= 0 },
  in: {
    expected: 'a list of texts, numbers, true, false or null',
    fits: (operand) => Array.isArray(operand) && operand.length > 0 && operand.every(isScalar),
    holds: (found, operand) => (operand as readonly Found[]).includes(found),
  },
  exists: {
    expected: 'true or false',
    fits: (operand) => typeof operand === 'boolean',
    holds: (found, operand) => (found !== undefined) === operand,
  },
};

const PLACE = /^result(\.[^.]+)*$/;

/** Throws InvalidTaskError or TooLargeError, each naming the place, e.g. `…where['result.x'].foo`. */
export function checkWhere(where: unknown, at: (field?: string) => string, field: string): void {
  if (typeof where !== 'object' || where === null || Array.isArray(where))
    throw new InvalidTaskError(at(field), `expected { place: test }, got ${describe(where)}`);
  const found = findJsonProblem(where);
  if (found) throw new InvalidTaskError(at(field) + found.path, found.problem);
  const tests = Object.entries(where);
  if (tests.length === 0) throw new InvalidTaskError(at(field), 'expected at least one place to test');
  if (tests.length > WHERE_PLACES_MAX)
    throw new TooLargeError(at(field), 'WHERE_PLACES_MAX', WHERE_PLACES_MAX, tests.length, 'places');
  for (const [place, test] of tests) checkTest(place, test, at, field);
  const bytes = whereText(where as Where).length;
  if (bytes > WHERE_BYTES_MAX)
    throw new TooLargeError(at(field), 'WHERE_BYTES_MAX', WHERE_BYTES_MAX, bytes, 'bytes of JSON');
}

function checkTest(place: string, test: unknown, at: (field?: string) => string, field: string): void {
  const here = `${field}['${place.slice(0, 64)}']`;
  if (!PLACE.test(place))
    throw new InvalidTaskError(at(here), "expected 'result', or a dotted path that begins with 'result.'");
  const operands = typeof test === 'object' && test !== null ? Object.entries(test) : [];
  const given = operands.filter(([, operand]) => operand !== undefined);
  if (given.length === 0)
    throw new InvalidTaskError(at(here), `expected a test like { gte: 80 }, got ${describe(test)}`);
  for (const [name, operand] of given) {
    const rule = Object.hasOwn(OPERATORS, name) ? OPERATORS[name as Operator] : undefined;
    const there = at(`${here}.${name.slice(0, 64)}`);
    if (rule === undefined)
      throw new InvalidTaskError(there, `expected one of ${Object.keys(OPERATORS).join(', ')}`);
    if (!rule.fits(operand))
      throw new InvalidTaskError(there, `expected ${rule.expected}, got ${describe(operand)}`);
  }
}

/**
 * The text under which a `where` stands in the store, as the name of a custom condition. Stores write names
 * into lines of words.
 */
export function whereText(where: Where): string {
  return asciiJson(where);
}

/** Names that people give have no braces. */
export function isWhereText(condition: string): boolean {
  return condition.startsWith('{');
}

/** Of a text that `whereText` wrote; one that holds for nothing where damage made it unreadable. */
export function readWhere(text: string): Where {
  try {
    return JSON.parse(text) as Where;
  } catch {
    return {};
  }
}

/** Why the result does not fit, null where it does. */
export function misfit(where: Where, result: JsonValue | undefined): string | null {
  const places = Object.entries(where);
  if (places.length === 0) return 'the condition is damaged';
  for (const [place, test] of places) {
    const found = valueAt(place, result);
    for (const [name, operand] of Object.entries(test)) {
      if (operand === undefined || OPERATORS[name as Operator]?.holds(found, operand as JsonValue)) continue;
      const got = found === undefined ? 'nothing' : describe(found);
      return `${place} is ${got}, expected ${name} ${JSON.stringify(operand)}`;
    }
  }
  return null;
}

/** What stands at the place; only what the value itself has. */
function valueAt(place: string, result: JsonValue | undefined): Found {
  let value: Found = result;
  for (const key of place.split('.').slice(1)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Readonly<Record<string, Found>>)[key];
  }
  return value;
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function isOrdered(value: unknown): value is number | string {
  return typeof value === 'number' || typeof value === 'string';
}

/** As `a - b` would say; NaN, for which no comparison holds, between values of two kinds. */
function compare(a: Found, b: JsonValue): number {
  if (typeof a !== typeof b || !isOrdered(a) || !isOrdered(b)) return Number.NaN;
  return a < b ? -1 : a > b ? 1 : 0;
}
