/** What JSON can say. User JSON is data: it comes back as it went in, whatever its keys are called. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** Deeper values are refused: recursion over them is bounded, here and in every reader. */
export const JSON_DEPTH_MAX = 200;

export interface JsonProblem {
  /** The place below the value that was checked, e.g. `.items[0]`; empty for the value itself. */
  readonly path: string;
  readonly problem: string;
}

/**
 * At most so many bytes is the JSON text of `value`; Infinity where a closer look must tell whether it has one
 * at all (`findJsonProblem`). A fifth of the cost of writing the text, and most values need nothing more.
 */
export function boundJsonBytes(value: unknown): number {
  try {
    return boundBytes(value, 0);
  } catch {
    // A getter threw.
    return Number.POSITIVE_INFINITY;
  }
}

function boundBytes(value: unknown, depth: number): number {
  switch (typeof value) {
    case 'string':
      return boundTextBytes(value);
    case 'boolean':
      return 'false'.length;
    case 'number':
      return Number.isFinite(value) ? NUMBER_BYTES_MAX : Number.POSITIVE_INFINITY;
    case 'object':
      if (value === null) return 'null'.length;
      return depth < JSON_DEPTH_MAX ? boundObjectBytes(value, depth + 1) : Number.POSITIVE_INFINITY;
    default:
      return Number.POSITIVE_INFINITY;
  }
}

/** As long as -0.0000012345678901234567: 17 digits behind the most zeros that are written out. */
const NUMBER_BYTES_MAX = 25;

/** An UTF-16 unit may be escaped, as in \u001f; quotes and separators are counted with it. */
function boundTextBytes(text: string): number {
  return text.length * 6 + 4;
}

function boundObjectBytes(value: object, depth: number): number {
  let bytes = 2;
  if (hasToJson(value)) return Number.POSITIVE_INFINITY;
  if (Array.isArray(value)) {
    for (const item of value) bytes += boundBytes(item, depth) + 1;
    return bytes;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return Number.POSITIVE_INFINITY;
  // What is inherited is looked at too: it can only make the bound too large.
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key];
    if (item !== undefined) bytes += boundTextBytes(key) + boundBytes(item, depth);
  }
  return bytes;
}

function hasToJson(value: object): boolean {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function';
}

/** JSON in visible ASCII alone, without spaces: it is one word, and as long in bytes as in characters. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x21-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const isOwn = Object.prototype.hasOwnProperty;

/** What its JSON text would give when parsed, for a value that has one: a copy that shares nothing but texts. */
export function copyJson<T>(value: T): T;
export function copyJson(value: unknown): unknown {
  // JSON has no -0.
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value;
  if (Array.isArray(value)) return value.map((item: unknown) => copyJson(item));
  const copy: Record<string, unknown> = {};
  // A list of the keys would be the larger part of what a copy leaves to the garbage collector.
  for (const key in value) {
    // Within a loop over an object's own keys V8 takes this call for granted; Object.hasOwn() it makes each time.
    if (!isOwn.call(value, key)) continue;
    const item = (value as Record<string, unknown>)[key];
    if (item === undefined) continue;
    if (key === '__proto__') defineProto(copy, copyJson(item));
    else copy[key] = copyJson(item);
  }
  return copy;
}

/**
 * A copy of what `copyJson` made, at half its cost: such a value has nothing that must be left out, so that an
 * object is copied as a whole, and only what it holds by reference is looked at.
 */
export function cloneJson<T>(value: T): T;
export function cloneJson(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => cloneJson(item));
  const copy: Record<string, unknown> = { ...value };
  for (const key in copy) {
    const item = copy[key];
    if (typeof item === 'object' && item !== null) copy[key] = cloneJson(item);
  }
  return copy;
}

/** Assigned, it would become the prototype; in JSON it is a key like any other. */
export function defineProto(object: object, value: unknown): void {
  Object.defineProperty(object, '__proto__', { value, writable: true, enumerable: true, configurable: true });
}

/**
 * Finds the first thing in `value` that JSON would lose or change: NaN, BigInt, functions, cycles, class
 * instances, getters that throw, `undefined` in arrays. An object's `undefined` properties are absent, as in JSON itself.
 * Returns null when there is none.
 */
export function findJsonProblem(value: unknown): JsonProblem | null {
  return problemIn(value, []);
}

function problemIn(value: unknown, ancestors: object[]): JsonProblem | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null;
    case 'number':
      return Number.isFinite(value) ? null : at(`expected a finite number, got ${value}`);
    case 'object':
      return value === null ? null : problemInObject(value, ancestors);
    case 'bigint':
      return at('expected JSON, got a BigInt; pass it as a string');
    default:
      return at(`expected JSON, got ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`);
  }
}

function problemInObject(value: object, ancestors: object[]): JsonProblem | null {
  if (ancestors.includes(value)) return at('expected JSON, got a cycle');
  if (ancestors.length >= JSON_DEPTH_MAX)
    return at(`expected at most ${JSON_DEPTH_MAX} levels (JSON_DEPTH_MAX)`);
  if (Array.isArray(value) && hasToJson(value)) return at('expected plain JSON, got toJSON()');
  ancestors.push(value);
  const problem = Array.isArray(value) ? problemInArray(value, ancestors) : problemInRecord(value, ancestors);
  ancestors.pop();
  return problem;
}

function problemInArray(values: readonly unknown[], ancestors: object[]): JsonProblem | null {
  for (let i = 0; i < values.length; i++) {
    const problem = problemIn(values[i], ancestors);
    if (problem) return { path: `[${i}]${problem.path}`, problem: problem.problem };
  }
  return null;
}

function problemInRecord(value: object, ancestors: object[]): JsonProblem | null {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype)) {
    return at(`expected plain JSON, got an instance of ${value.constructor?.name ?? 'a class'}`);
  }
  if (hasToJson(value)) return at('expected plain JSON, got toJSON()');
  for (const key of Object.keys(value)) {
    const problem = problemInProperty(value, key, ancestors);
    if (problem) return { path: `${keyPath(key)}${problem.path}`, problem: problem.problem };
  }
  return null;
}

function problemInProperty(value: object, key: string, ancestors: object[]): JsonProblem | null {
  let item: unknown;
  try {
    item = (value as Record<string, unknown>)[key];
  } catch {
    return at('expected JSON, got a getter that throws');
  }
  return item === undefined ? null : problemIn(item, ancestors);
}

/** Plain objects of another realm (a vm context, a test runner) have their own Object.prototype. */
function isForeignPlain(prototype: unknown): boolean {
  return (
    typeof prototype === 'object' &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'hasOwnProperty')
  );
}

function keyPath(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key.slice(0, 64))}]`;
}

function at(problem: string): JsonProblem {
  return { path: '', problem };
}
