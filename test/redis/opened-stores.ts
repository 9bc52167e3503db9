import { afterEach } from 'vitest';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { sharedRedis } from './shared-redis.ts';

interface Place {
  readonly connection: RedisConnection;
  readonly prefix: string;
}

/**
 * Opens stores on a Redis of the test file, each under a prefix of its own, and closes them after each test. `ask` says
 * a command to Redis about one of the store's keys.
 */
export function openedStores<Store extends { close(): Promise<void> }>(make: (place: Place) => Store) {
  const redis = sharedRedis();
  const opened: { store: Store; connection: RedisConnection }[] = [];
  afterEach(async () => {
    for (const { store, connection } of opened.splice(0)) {
      await store.close();
      connection.close();
    }
  });
  return () => {
    const prefix = redis.prefix();
    const connection = new RedisConnection({ url: redis.url });
    const store = make({ connection, prefix });
    opened.push({ store, connection });
    const ask = <T = unknown>(command: string, key: string, ...words: (string | number)[]) =>
      redis.server.ask<T>(command, `{${prefix}}:${key}`, ...words);
    return { store, ask };
  };
}
