import type { RunnableConfig } from '@langchain/core/runnables';
import type { CheckpointTuple, DeltaChannelHistory } from '@langchain/langgraph-checkpoint';
import { ClosedError, InvalidOptionError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { RedisConnection, type RedisConnectionOptions } from '../redis/redis-connection.ts';
import type { CheckpointRows } from './checkpoint-rows.ts';
import { checkedFence } from './fence.ts';
import { IncrementalSaver } from './incremental-saver.ts';
import { JsonTextSerializer } from './json-serializer.ts';
import type { Prunable } from './prune.ts';
import { RedisExchange } from './redis-exchange.ts';
import { SCRIPTS, threadKeys } from './redis-keys.ts';
import { RedisThread } from './redis-prune.ts';
import { type ReadDepth, RedisReader } from './redis-reader.ts';
import { LoadedRows, NotedWrites } from './redis-rows.ts';

/** `url` or `redis`, and `commandTimeoutMs`: a connection of its own. `connection`: one that is there already. */
export type RedisSaverOptions = (RedisConnectionOptions | { readonly connection: RedisConnection }) & {
  /** What all keys begin with; apps that share a Redis take different ones. @default 'jotty' */
  readonly prefix?: string;
  /**
   * A thread is deleted when nothing was written to it for so long. It goes as a whole, so what is left can always
   * be read. Milliseconds. @default Infinity: threads stay
   */
  readonly ttlMs?: number;
};

const PREFIX = 'jotty';
/** How many ancestors one round trip reads when a delta channel is rebuilt. */
const HISTORY_STEP = 50;
const ONE: ReadDepth = { checkpoints: 1 };

/**
 * LangGraph checkpoints in a plain Redis (6.2 or newer) or Valkey: single, Sentinel or Cluster, no modules. A `put`
 * is one script; what runs in flight write in the same moment shares a round trip. All keys of a thread lie in
 * one slot. What is acknowledged is as safe as Redis is configured to keep it (`appendonly`, `appendfsync`).
 *
 * Nothing is connected before the first call.
 */
export class RedisSaver extends IncrementalSaver {
  readonly #connection: RedisConnection;
  readonly #isOwner: boolean;
  readonly #prefix: string;
  readonly #expiryMs: number;
  readonly #reader: RedisReader;
  readonly #exchange: RedisExchange;
  #isClosed = false;

  /** @throws InvalidOptionError; MissingPackageError when a URL is given and ioredis is not installed. */
  constructor(options: RedisSaverOptions) {
    super();
    const {
      prefix = PREFIX,
      ttlMs = Number.POSITIVE_INFINITY,
      ...place
    } = requireOptions(options, 'an object with url or redis');
    this.serde = new JsonTextSerializer();
    if (typeof prefix !== 'string' || prefix === '')
      throw new InvalidOptionError('prefix', 'a text that is not empty', prefix);
    if (ttlMs !== Number.POSITIVE_INFINITY && (!Number.isSafeInteger(ttlMs) || ttlMs < 1))
      throw new InvalidOptionError('ttlMs', 'an integer of at least 1, or Infinity', ttlMs);
    this.#isOwner = !('connection' in place);
    this.#connection = 'connection' in place ? place.connection : new RedisConnection(place);
    this.#prefix = prefix;
    this.#expiryMs = ttlMs === Number.POSITIVE_INFINITY ? 0 : ttlMs;
    this.#exchange = new RedisExchange(this.#connection, prefix, this.#expiryMs);
    this.#reader = new RedisReader(this.#connection, this.#exchange, prefix);
  }

  /** Resolves when all writes are answered. A connection that was handed in stays open. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#exchange.idle();
    if (this.#isOwner) this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  override async raiseFence(threadId: string, seen: number): Promise<number> {
    this.#mustBeOpen();
    const { state } = threadKeys(this.#prefix, threadId);
    const values = [checkedFence(seen), this.#expiryMs];
    return Number(await this.#connection.run(SCRIPTS.raise, [state], values));
  }

  /** One round trip, where the general way reads the checkpoint and then what it names. */
  override getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    return this.#glance(ONE).getTuple(config);
  }

  override getDeltaChannelHistory(options: {
    config: RunnableConfig;
    channels: string[];
  }): Promise<Record<string, DeltaChannelHistory>> {
    const depth = { checkpoints: HISTORY_STEP, channels: options.channels };
    return this.#glance(depth).getDeltaChannelHistory(options);
  }

  protected override read<T>(look: (rows: CheckpointRows) => T): Promise<T> {
    this.#mustBeOpen();
    return this.#reader.look(new LoadedRows(), look, ONE);
  }

  /** Throws at once what is wrong with the change; its callers are async. */
  protected override write<T>(change: (rows: CheckpointRows) => T): Promise<T> {
    this.#mustBeOpen();
    const rows = new NotedWrites();
    const result = change(rows);
    const [first, ...others] = rows.calls;
    if (first === undefined) return Promise.resolve(result);
    const written = this.#exchange.write(first, result);
    if (others.length === 0) return written;
    const all = others.map((call) => this.#exchange.write(call, result));
    return Promise.all([written, ...all]).then(() => result);
  }

  protected override prunable(threadId: string): Prunable {
    this.#mustBeOpen();
    return new RedisThread(this.serde, this.#connection, this.#reader, this.#prefix, threadId);
  }

  #glance(depth: ReadDepth): Glance {
    const glance = new Glance((rows, look) => {
      this.#mustBeOpen();
      return this.#reader.look(rows, look, depth);
    });
    glance.serde = this.serde;
    return glance;
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new ClosedError('the RedisSaver');
  }
}

type Look = <T>(rows: LoadedRows, look: (rows: CheckpointRows) => T) => Promise<T>;

/** The checkpoints that one call reads. What came with an earlier read of the call is not asked for again. */
class Glance extends IncrementalSaver {
  readonly #rows = new LoadedRows();
  readonly #look: Look;

  constructor(look: Look) {
    super();
    this.#look = look;
  }

  protected override async read<T>(look: (rows: CheckpointRows) => T): Promise<T> {
    return this.#look(this.#rows, look);
  }

  protected override write(): never {
    throw new TypeError('a glance only reads');
  }
}
