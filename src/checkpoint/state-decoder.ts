import { load } from '@langchain/core/load';
import { DeltaSnapshot } from '@langchain/langgraph-checkpoint';
import { StoreCorruptError } from '../errors.ts';
import { TAG } from './state-encoder.ts';

type PlainObject = Record<string, unknown>;

const MARK = `"${TAG}"`;

/**
 * Reads what `encodeState` wrote. Classes come back only from tags that the
 * encoder made out of real objects, never from the shape of user data.
 */
export async function decodeState(text: string): Promise<unknown> {
  const json = parse(text);
  if (!text.includes(MARK)) return json;
  const serialized: unknown[] = [];
  collectLangChain(json, serialized);
  const objects = serialized.length === 0 ? [] : ((await load(JSON.stringify(serialized))) as unknown[]);
  return new StateDecoder(objects).decode(json);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StoreCorruptError('a checkpoint holds text that is not JSON', { cause });
  }
}

/** Finds the LangChain objects in the order in which the decoder will meet them: they are revived together, asynchronously. */
function collectLangChain(value: unknown, found: unknown[]): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) collectLangChain(item, found);
    return;
  }
  const tag = tagOf(value as PlainObject);
  if (tag === undefined) for (const item of Object.values(value)) collectLangChain(item, found);
  else if (tag[0] === 'lc') found.push(tag[1]);
  else collectLangChain(tag[1], found);
}

class StateDecoder {
  readonly #objects: readonly unknown[];
  #nextObject = 0;

  constructor(objects: readonly unknown[]) {
    this.#objects = objects;
  }

  /** Works in place: the JSON was parsed for this. */
  decode(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) value[i] = this.decode(value[i]);
      return value;
    }
    const tag = tagOf(value as PlainObject);
    if (tag !== undefined) return this.#revive(tag[0], tag[1]);
    for (const [key, item] of Object.entries(value)) {
      const decoded = this.decode(item);
      if (decoded !== item) define(value as PlainObject, key, decoded);
    }
    return value;
  }

  #revive(kind: unknown, content: unknown): unknown {
    switch (kind) {
      case 'undefined':
        return undefined;
      case 'number':
        return Number(content);
      case 'date':
        return new Date(content === null ? Number.NaN : (content as number));
      case 'bytes':
        return new Uint8Array(Buffer.from(content as string, 'base64'));
      case 'regexp':
        return new RegExp((content as string[])[0]!, (content as string[])[1]);
      case 'error':
        return errorFrom(content as string[]);
      case 'lc':
        return this.#objects[this.#nextObject++];
      default:
        return this.#reviveContainer(kind, this.decode(content));
    }
  }

  #reviveContainer(kind: unknown, content: unknown): unknown {
    switch (kind) {
      case 'map':
        return new Map(content as [unknown, unknown][]);
      case 'set':
        return new Set(content as unknown[]);
      case 'delta':
        return new DeltaSnapshot(content);
      case 'object':
        return fromEntries(content as [string, unknown][]);
      default:
        throw new StoreCorruptError(
          `a checkpoint holds a value of unknown kind ${JSON.stringify(kind)}; was it written by a newer release?`,
        );
    }
  }
}

function tagOf(value: PlainObject): readonly [unknown, unknown] | undefined {
  if (!Object.hasOwn(value, TAG)) return undefined;
  const tag = value[TAG];
  if (!Array.isArray(tag) || tag.length !== 2)
    throw new StoreCorruptError(`a checkpoint holds a malformed ${TAG} value`);
  return tag as [unknown, unknown];
}

function errorFrom([name, message]: string[]): Error {
  const error = new Error(message);
  if (name !== undefined && name !== 'Error') {
    Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  }
  return error;
}

function fromEntries(entries: readonly [string, unknown][]): PlainObject {
  const object: PlainObject = {};
  for (const [key, value] of entries) define(object, key, value);
  return object;
}

/** An assignment to `__proto__` would change the prototype. */
function define(object: PlainObject, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}
