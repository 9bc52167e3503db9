import { StateNotSerializableError } from '../errors.ts';

/** The one key that means something in stored JSON. User data that has it is stored as a list of entries. */
export const TAG = '$jotty';

/** Deeper state is a reference to itself, or would overflow the stack of whoever loads it. */
const STATE_DEPTH_MAX = 1_000;

/** What JSON leaves out: dropped from objects, null in arrays. */
const OMITTED = Symbol('omitted');

type PlainObject = Record<string, unknown>;

/** The text of `value`, to be read by `decodeState`. @throws StateNotSerializableError naming the path */
export function encodeState(value: unknown): string {
  if (isPlainLeaf(value)) return JSON.stringify(value);
  try {
    return JSON.stringify(new StateEncoder(false).encodeRoot(value));
  } catch (error) {
    if (error instanceof StateNotSerializableError) throw error;
    // A LangChain object failed inside JSON.stringify: walk again, slowly, to name the place.
    return JSON.stringify(new StateEncoder(true).encodeRoot(value));
  }
}

/**
 * Turns state into JSON in which only `TAG` has a meaning. What is plain JSON
 * already, which is nearly everything, is returned as it is and not copied.
 */
class StateEncoder {
  readonly #path: (string | number)[] = [];
  readonly #probesLangChain: boolean;

  constructor(probesLangChain: boolean) {
    this.#probesLangChain = probesLangChain;
  }

  encodeRoot(value: unknown): unknown {
    const encoded = this.#encode(value);
    return encoded === OMITTED ? tagged('undefined', null) : encoded;
  }

  #encode(value: unknown): unknown {
    switch (typeof value) {
      case 'object':
        return value === null ? null : this.#encodeObject(value);
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0)
          ? value
          : tagged('number', Object.is(value, -0) ? '-0' : String(value));
      case 'undefined':
        return tagged('undefined', null);
      case 'bigint':
        throw this.#refusal('a BigInt cannot be stored in a checkpoint; use a string or a number');
      case 'function':
      case 'symbol':
        return OMITTED;
      default:
        return value;
    }
  }

  #encodeObject(value: object): unknown {
    if (this.#path.length > STATE_DEPTH_MAX) {
      throw this.#refusal(`nested deeper than ${STATE_DEPTH_MAX} levels, or contains itself`);
    }
    if (Array.isArray(value)) return this.#encodeArray(value);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return this.#encodeInstance(value);
    if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return this.#encodeByToJson(value);
    return this.#encodePlain(value as PlainObject);
  }

  #encodeArray(values: readonly unknown[]): unknown[] {
    let copy: unknown[] | undefined;
    for (let i = 0; i < values.length; i++) {
      const encoded = this.#at(i, values[i]);
      if (encoded === values[i]) continue;
      copy ??= [...values];
      copy[i] = encoded === OMITTED ? null : encoded;
    }
    return copy ?? (values as unknown[]);
  }

  #encodePlain(value: PlainObject): unknown {
    if (Object.hasOwn(value, TAG)) return this.#encodeEntries(value);
    let copy: PlainObject | undefined;
    for (const key of Object.keys(value)) {
      const encoded = this.#at(key, value[key]);
      if (encoded === value[key]) continue;
      // Without a prototype, so that a key like `__proto__` is a key.
      copy ??= Object.assign(Object.create(null) as PlainObject, value);
      if (encoded === OMITTED) delete copy[key];
      else copy[key] = encoded;
    }
    return copy ?? value;
  }

  #encodeEntries(value: PlainObject): unknown {
    const entries = Object.keys(value).map((key) => [key, this.#at(key, value[key])]);
    return tagged(
      'object',
      entries.filter(([, encoded]) => encoded !== OMITTED),
    );
  }

  #encodeInstance(value: object): unknown {
    if (value instanceof Map) {
      return tagged(
        'map',
        [...value].map((pair, i) => this.#at(i, pair)),
      );
    }
    if (value instanceof Set) return tagged('set', this.#encodeArray([...value]));
    if (value instanceof Date) return tagged('date', value.getTime());
    if (value instanceof RegExp) return tagged('regexp', [value.source, value.flags]);
    if (value instanceof Error) return tagged('error', [value.name, value.message]);
    if (value instanceof Uint8Array) {
      return tagged(
        'bytes',
        Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'),
      );
    }
    return this.#encodeForeign(value as PlainObject);
  }

  /** Objects of LangGraph and LangChain are known by their marks: an app may have its own copy of the classes. */
  #encodeForeign(value: PlainObject): unknown {
    if (value.lg_name === 'DeltaSnapshot') return tagged('delta', this.#at('value', value.value));
    if (value.lg_name === 'Send') {
      const { node, args, timeout } = value;
      return this.#encodePlain(timeout === undefined ? { node, args } : { node, args, timeout });
    }
    if (typeof value.toJSON !== 'function') return this.#encodePlain({ ...value });
    if (value.lc_serializable !== true) return this.#encodeByToJson(value);
    if (this.#probesLangChain) this.#probe(value);
    // Left to JSON.stringify: LangChain's toJSON escapes the user data inside.
    return tagged('lc', value);
  }

  #encodeByToJson(value: object): unknown {
    const plain = (value as { toJSON(): unknown }).toJSON();
    return plain === value ? this.#encodePlain({ ...(value as PlainObject) }) : this.#at('toJSON()', plain);
  }

  #probe(value: unknown): void {
    try {
      JSON.stringify(value);
    } catch (cause) {
      throw this.#refusal(`this message or object cannot be stored: ${(cause as Error).message}`, cause);
    }
  }

  #at(key: string | number, value: unknown): unknown {
    if (isPlainLeaf(value)) return value;
    this.#path.push(key);
    const encoded = this.#encode(value);
    this.#path.pop();
    return encoded;
  }

  #refusal(problem: string, cause?: unknown): StateNotSerializableError {
    const shown = this.#path.length > 20 ? [...this.#path.slice(0, 20), '…'] : this.#path;
    const path = shown.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
    return new StateNotSerializableError(`state${path}`, problem, { cause });
  }
}

/** Nearly every value: it is stored as it is, and nothing in it can be refused. */
function isPlainLeaf(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || (Number.isFinite(value) && value !== 0);
}

function tagged(kind: string, content: unknown): PlainObject {
  return { [TAG]: [kind, content] };
}
