import { LeaseLostError } from '../errors.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import { mapRedisError } from '../redis/redis-errors.ts';
import { SCRIPTS, threadKeys } from './redis-keys.ts';

/** One script serves at most this many calls, or calls with about so many bytes, so that Redis serves others in between. */
const CALLS_PER_SCRIPT = 128;
const BYTES_PER_SCRIPT = 8 * 1024 * 1024;
/** JSON texts have no control characters, so this one can end the parts of a call. */
const PART_END = '\x1e';

/** What is wanted of one thread, in the parts its script takes. */
export interface ThreadCall {
  readonly threadId: string;
  /** Of a write: compared with the stored one in the atomic step of the write. */
  readonly fence?: number | undefined;
  readonly parts: readonly (string | number)[];
}

interface Waiting {
  readonly call: ThreadCall;
  readonly resolve: (reply: never) => void;
  readonly reject: (reason: unknown) => void;
}

/** Calls that share round trips, and wait for each other's answers. */
interface Lane {
  readonly name: string;
  readonly writes: Waiting[];
  readonly reads: Waiting[];
}

/** A checkpoint as lua/read.lua gives it. */
export type ReadCheckpoint = readonly [
  id: string,
  record: string,
  blobs: readonly string[],
  writes: readonly string[],
];

/**
 * Takes the reads and writes of all runs to Redis. Those of one turn of the event loop share a round trip, and
 * what is asked meanwhile waits for the answer: so writes stay in order also when a script has to be sent
 * again, and runs stay in step, which costs each of them a tenth less (their code is warm when the next needs it).
 * On a single Redis all threads share, in a cluster each has its own slot and goes by itself.
 */
export class RedisExchange {
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #lanes = new Map<string, Lane>();
  #idleListeners: (() => void)[] = [];

  constructor(connection: RedisConnection, prefix: string, ttlMs: number) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#ttlMs = ttlMs;
  }

  /** All of it or nothing; resolves with `result`. @throws LeaseLostError, StoreUnavailableError, StoreCorruptError */
  write<T>(call: ThreadCall, result: T): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = () => resolve(result);
      this.#laneOf(call.threadId).writes.push({ call, resolve: done, reject });
    });
  }

  /** @throws StoreUnavailableError, StoreCorruptError */
  read(call: ThreadCall): Promise<readonly ReadCheckpoint[]> {
    return new Promise((resolve, reject) => {
      this.#laneOf(call.threadId).reads.push({ call, resolve, reject });
    });
  }

  /** Resolves when nothing waits for an answer. */
  idle(): Promise<void> {
    if (this.#lanes.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleListeners.push(resolve);
    });
  }

  #laneOf(threadId: string): Lane {
    const name = this.#connection.isCluster ? threadId : '';
    const present = this.#lanes.get(name);
    if (present !== undefined) return present;
    const lane = { name, writes: [], reads: [] };
    this.#lanes.set(name, lane);
    setImmediate(() => void this.#serve(lane));
    return lane;
  }

  /** Ends when nothing waits. */
  async #serve(lane: Lane): Promise<void> {
    while (lane.writes.length > 0 || lane.reads.length > 0) {
      await Promise.all([
        this.#exchange(lane.writes, (calls) => this.#write(calls)),
        this.#exchange(lane.reads, (calls) => this.#read(calls)),
      ]);
      // The runs that go on now ask for more in this turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#lanes.delete(lane.name);
    if (this.#lanes.size === 0) for (const listener of this.#idleListeners.splice(0)) listener();
  }

  async #exchange(waiting: Waiting[], send: (calls: readonly Waiting[]) => Promise<void>): Promise<void> {
    const calls = take(waiting);
    if (calls.length === 0) return;
    try {
      await send(calls);
    } catch (error) {
      // What waits behind a write that failed would be written without it, and has waited as long already.
      for (const { reject } of [...calls, ...waiting.splice(0)]) reject(error);
    }
  }

  async #write(calls: readonly Waiting[]): Promise<void> {
    const { keys, texts } = this.#script(calls, ({ fence = '', parts }) => [fence, ...parts]);
    const outcomes = (await this.#connection.run(SCRIPTS.write, keys, [this.#ttlMs, ...texts])) as string[];
    calls.forEach(({ call, resolve, reject }, i) => {
      const outcome = outcomes[i] ?? '';
      if (outcome === 'ok') (resolve as () => void)();
      else reject(refusalOf(call, outcome));
    });
  }

  async #read(calls: readonly Waiting[]): Promise<void> {
    const { keys, texts } = this.#script(calls, ({ parts }) => parts);
    const replies = (await this.#connection.run(SCRIPTS.read, keys, texts)) as (ReadCheckpoint[] | string)[];
    calls.forEach(({ call, resolve, reject }, i) => {
      const reply = replies[i] ?? [];
      if (typeof reply === 'string') reject(refusalOf(call, reply));
      else (resolve as (reply: readonly ReadCheckpoint[]) => void)(reply);
    });
  }

  /** The keys of all threads, and a text for each call, which tells its thread. */
  #script(calls: readonly Waiting[], partsOf: (call: ThreadCall) => readonly (string | number)[]) {
    const keys: string[] = [];
    const places = new Map<string, number>();
    const texts = calls.map(({ call }) => {
      let place = places.get(call.threadId);
      if (place === undefined) {
        const { state, index } = threadKeys(this.#prefix, call.threadId);
        place = keys.push(state, index) / 2;
        places.set(call.threadId, place);
      }
      return [place, ...partsOf(call), ''].join(PART_END);
    });
    return { keys, texts };
  }
}

/** From the front, as much as one script may serve. */
function take(waiting: Waiting[]): Waiting[] {
  let bytes = 0;
  let count = 0;
  while (count < waiting.length && count < CALLS_PER_SCRIPT && bytes < BYTES_PER_SCRIPT)
    for (const part of waiting[count++]!.call.parts) bytes += typeof part === 'number' ? 8 : part.length;
  return waiting.splice(0, count);
}

const FENCE = 'fence:';

function refusalOf({ threadId, fence = 0 }: ThreadCall, outcome: string): unknown {
  if (!outcome.startsWith(FENCE)) return mapRedisError(new Error(outcome));
  const stored = outcome.slice(FENCE.length);
  return new LeaseLostError(threadId, fence, `its checkpoints are held under fence ${stored}`);
}
