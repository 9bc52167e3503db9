import { InvalidTaskError } from '../errors.ts';
import { defineProto, JSON_DEPTH_MAX, type JsonObject, type JsonValue } from '../json.ts';

/**
 * A graph's state as plain JSON, as it is recorded with the task: LangChain messages become
 * `{ type, content, … }`, dates ISO strings, maps objects, sets and typed arrays arrays; what is undefined or
 * a function is left out, and a number that JSON does not have becomes null.
 *
 * @throws InvalidTaskError for a BigInt, a cycle, or more than JSON_DEPTH_MAX levels.
 */
export function toPlainJson(value: unknown, path = 'result'): JsonValue {
  return plain(value, path, []) ?? null;
}

function plain(value: unknown, path: string, ancestors: object[]): JsonValue | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'bigint':
      throw new InvalidTaskError(
        path,
        'expected JSON, got a BigInt; keep it as a string, or give the agent toResult',
      );
    case 'object':
      return value === null ? null : plainObject(value, path, ancestors);
    default:
      return undefined;
  }
}

function plainObject(value: object, path: string, ancestors: object[]): JsonValue | undefined {
  if (ancestors.includes(value)) throw new InvalidTaskError(path, 'expected JSON, got a cycle');
  if (ancestors.length >= JSON_DEPTH_MAX) {
    throw new InvalidTaskError(path, `expected at most ${JSON_DEPTH_MAX} levels (JSON_DEPTH_MAX)`);
  }
  ancestors.push(value);
  const result = convert(value, path, ancestors);
  ancestors.pop();
  return result;
}

function convert(value: object, path: string, ancestors: object[]): JsonValue | undefined {
  if (Array.isArray(value)) return plainItems(value, path, ancestors);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Map) return plainMap(value, path, ancestors);
  if (value instanceof Set) return plainItems([...value], path, ancestors);
  if (ArrayBuffer.isView(value)) return plainItems([...(value as Uint8Array)], path, ancestors);
  if (value instanceof Error)
    return plainRecord({ name: value.name, message: value.message }, path, ancestors);
  if (isMessage(value)) return plainMessage(value, path, ancestors);
  const toJson = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJson === 'function') return plain(toJson.call(value), path, ancestors);
  return plainRecord(value as Record<string, unknown>, path, ancestors);
}

function plainItems(items: readonly unknown[], path: string, ancestors: object[]): JsonValue[] {
  return items.map((item, i) => plain(item, `${path}[${i}]`, ancestors) ?? null);
}

function plainMap(map: ReadonlyMap<unknown, unknown>, path: string, ancestors: object[]): JsonValue {
  const keys = [...map.keys()];
  if (!keys.every((key) => typeof key === 'string')) return plainItems([...map.entries()], path, ancestors);
  return plainRecord(Object.fromEntries(map as Map<string, unknown>), path, ancestors);
}

function plainRecord(value: Record<string, unknown>, path: string, ancestors: object[]): JsonObject {
  const record: Record<string, JsonValue> = {};
  for (const key of Object.keys(value)) {
    const item = plain(value[key], `${path}.${key}`, ancestors);
    if (item === undefined) continue;
    if (key === '__proto__') defineProto(record, item);
    else record[key] = item;
  }
  return record;
}

/** The fields of a message that say something to its reader. */
const MESSAGE_FIELDS = [
  'content',
  'id',
  'name',
  'tool_calls',
  'tool_call_id',
  'status',
  'artifact',
  'usage_metadata',
] as const;

interface MessageLike {
  readonly _getType?: () => string;
  readonly getType?: () => string;
}

/** LangChain messages of any copy of LangChain say their type by a method. */
function isMessage(value: object): value is MessageLike {
  const message = value as { readonly [key: string]: unknown };
  return (
    'content' in message && (typeof message.getType === 'function' || typeof message._getType === 'function')
  );
}

function plainMessage(message: MessageLike, path: string, ancestors: object[]): JsonValue {
  const type = message.getType?.() ?? message._getType?.() ?? 'unknown';
  const fields: Record<string, unknown> = { type };
  for (const field of MESSAGE_FIELDS) {
    const value = (message as Record<string, unknown>)[field];
    if (value === undefined || (Array.isArray(value) && value.length === 0 && field !== 'content')) continue;
    fields[field] = value;
  }
  return plainRecord(fields, path, ancestors);
}
