import type { SerializerProtocol } from '@langchain/langgraph-checkpoint';
import { StoreCorruptError } from '../errors.ts';
import type { Serialized } from './checkpoint-rows.ts';
import { decodeState } from './state-decoder.ts';
import { encodeState } from './state-encoder.ts';

/**
 * LangGraph state as JSON that comes back as it went in.
 *
 * The official serializer gives a meaning to user data with an `lc` key: it
 * revives it as an object, drops it, or fails on every later load. Here real
 * objects are stored under a tag of our own, and user data is never interpreted.
 *
 * Real ones come back: LangChain messages and other serializables, Map, Set,
 * Date, Uint8Array, RegExp, Error (name and message), undefined, NaN and the
 * infinities, delta snapshots. Like in JSON, functions and symbols are left out
 * and instances of other classes become plain objects (by `toJSON` if they have it).
 * A BigInt or a cycle throws StateNotSerializableError before anything is written.
 */
export class JsonSerializer implements SerializerProtocol {
  /** As `dumpsTyped`, at once: a run writes some thirty values, and a promise for each costs more than its text. */
  dump(value: unknown): Serialized {
    return { type: 'json', data: Buffer.from(encodeState(value)) };
  }

  async dumpsTyped(value: unknown): Promise<[string, Uint8Array]> {
    const { type, data } = this.dump(value);
    return [type, typeof data === 'string' ? Buffer.from(data) : data];
  }

  async loadsTyped(type: string, data: Uint8Array | string): Promise<unknown> {
    if (type !== 'json')
      throw new StoreCorruptError(`a checkpoint holds data of unknown type ${JSON.stringify(type)}`);
    return decodeState(typeof data === 'string' ? data : textOf(data));
  }
}

/** For a store that takes text as it is. */
export class JsonTextSerializer extends JsonSerializer {
  override dump(value: unknown): Serialized {
    return { type: 'json', data: encodeState(value) };
  }
}

function textOf(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
}
