import { createRequire } from 'node:module';
import { InvalidOptionError, MissingPackageError } from '../errors.ts';

export type RedisArgument = string | number | Uint8Array;

/** The part of an ioredis client Jotty uses, of versions 5.11 and 6; structural, so that no optional package leaks into our types. */
export interface RedisClient {
  /** `wait`, `connecting`, `connect`, `ready`, `close`, `reconnecting` or `end`. */
  readonly status: string;
  readonly isCluster: boolean;
  /** The socket while there is one; not of a Cluster. */
  readonly stream?: { cork?(): void; uncork?(): void } | null;
  connect(): Promise<unknown>;
  /** Of a Cluster only. */
  nodes?(role: 'master'): RedisClient[];
  disconnect(reconnect?: boolean): void;
  call(command: string, ...values: RedisArgument[]): Promise<unknown>;
  callBuffer(command: string, ...values: RedisArgument[]): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  on(event: string, listener: (...values: never[]) => void): unknown;
  off(event: string, listener: (...values: never[]) => void): unknown;
}

/** A client of the user's: single, Sentinel or Cluster. Its settings are copied, its connection is left alone. */
interface RedisTemplate {
  readonly isCluster: boolean;
  duplicate(...overrides: never[]): unknown;
}

/** Where Redis is: one of the two. */
export interface RedisAddress {
  /** `redis://` or `rediss://`, with user, password and database where needed. */
  readonly url?: string;
  /**
   * An ioredis client (5.11 or 6; `new Redis({ sentinels })` and `new Cluster()` too) whose settings are used.
   * Jotty opens connections of its own and closes only those.
   */
  readonly redis?: RedisTemplate;
}

interface IoredisModule {
  readonly Redis: new (url: string, options: object) => RedisClient;
}

/** How Jotty's own connections differ from ioredis' defaults. */
const CLIENT_OPTIONS = {
  lazyConnect: true,
  // A command waits for the connection in RedisConnection, with a deadline; a queue here would send it long after.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  // Rejects what was under way when a connection is lost; otherwise ioredis drops it without a word.
  maxRetriesPerRequest: 0,
  connectTimeout: 2_000,
  // A server that loads tells when it may be done; ioredis would believe it for ten seconds.
  maxLoadingRetryTime: 200,
  // A connection that was lost is mostly welcome again at once: who is away is asked less and less often.
  retryStrategy: (times: number) => Math.min(10 * 2 ** times, 1_000),
};

const require = createRequire(import.meta.url);

/**
 * A client of our own for this address, not yet connected. ioredis is loaded here, never on import.
 * @throws InvalidOptionError; MissingPackageError when a URL is given and ioredis is not installed.
 */
export function newRedisClient({ url, redis }: RedisAddress): RedisClient {
  if (redis !== undefined) return copyOf(redis);
  if (typeof url !== 'string' || !/^rediss?:\/\//.test(url)) {
    // The URL itself may hold a password, so it is not shown.
    throw new InvalidOptionError(
      'url',
      'a URL that begins with redis:// or rediss://, or the option `redis`',
      typeof url,
    );
  }
  return new (load().Redis)(url, CLIENT_OPTIONS);
}

function copyOf(redis: RedisTemplate): RedisClient {
  if (typeof redis?.duplicate !== 'function')
    throw new InvalidOptionError('redis', 'an ioredis client', typeof redis);
  const duplicate = redis.duplicate.bind(redis) as (...overrides: unknown[]) => RedisClient;
  if (!redis.isCluster) return duplicate(CLIENT_OPTIONS);
  const { lazyConnect, enableOfflineQueue, ...redisOptions } = CLIENT_OPTIONS;
  return duplicate([], { lazyConnect, enableOfflineQueue, redisOptions });
}

function load(): IoredisModule {
  try {
    return require('ioredis') as IoredisModule;
  } catch (cause) {
    throw new MissingPackageError('ioredis', 'the Redis backend', { cause });
  }
}
