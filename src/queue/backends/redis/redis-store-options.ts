import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { ServerClock } from '../../../redis/server-clock.ts';

export interface RedisStoreOptions {
  /** Stays open when the store is closed. */
  readonly connection: RedisConnection;
  /** All keys of the queue begin with it. @default 'jotty' */
  readonly prefix?: string | undefined;
  /** With it leases are judged by the time of Redis, which it learns; else by the `now` of each call. */
  readonly time?: ServerClock | undefined;
  /** Runs before anything else is asked of Redis; where it throws, so do all calls. */
  readonly onOpen?: (() => Promise<void>) | undefined;
  /** Runs after each write, before it is acknowledged. */
  readonly onWritten?: (() => Promise<void>) | undefined;
}
