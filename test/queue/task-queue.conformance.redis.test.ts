import { describe, test } from 'vitest';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { RedisTaskStore } from '../../src/queue/backends/redis/redis-task-store.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { describeTaskQueue } from '../../src/testing/task-queue-conformance.ts';
import { redisClock } from '../redis/redis-clock.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

describeTaskQueue(
  { describe, test },
  {
    name: 'redis',
    durable: true,
    shared: true,
    clock: () => redisClock(redis),
    async open() {
      const prefix = redis.prefix();
      const connections: RedisConnection[] = [];
      return {
        queue: (options) => new RedisTaskQueue({ ...options, url: redis.url, prefix }),
        wrapped(options, wrap) {
          const connection = new RedisConnection({ url: redis.url });
          connections.push(connection);
          return new StoredTaskQueue(wrap(new RedisTaskStore({ connection, prefix })), options);
        },
        async dispose() {
          for (const connection of connections) connection.close();
        },
      };
    },
  },
);
