import { describe, test } from 'vitest';
import { RedisTaskStore } from '../../src/queue/backends/redis/redis-task-store.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

describeTaskStore(
  { describe, test },
  {
    name: 'redis',
    durable: true,
    shared: true,
    async open() {
      const prefix = redis.prefix();
      const opened: { store: RedisTaskStore; connection: RedisConnection }[] = [];
      const second = async () => {
        const connection = new RedisConnection({ url: redis.url });
        const store = new RedisTaskStore({ connection, prefix });
        opened.push({ store, connection });
        return store;
      };
      const dispose = async () => {
        for (const { store, connection } of opened.splice(0)) {
          await store.close();
          connection.close();
        }
      };
      const reopen = async () => {
        await dispose();
        return second();
      };
      return { store: await second(), second, reopen, dispose };
    },
  },
);
