import { describe, expect, test } from 'vitest';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { RedisTaskStore } from '../../src/queue/backends/redis/redis-task-store.ts';
import type { RedisConnection } from '../../src/redis/redis-connection.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';
import { ForgetfulConnection } from '../redis/forgetful-connection.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

describeTaskStore(
  { describe, test },
  {
    name: 'redis with every script sent twice',
    durable: true,
    shared: true,
    async open() {
      const prefix = redis.prefix();
      const opened: { store: RedisTaskStore; connection: RedisConnection }[] = [];
      const second = async () => {
        const connection = new ForgetfulConnection({ url: redis.url });
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

test('answers are remembered for a bounded time, and forgotten when their store is closed', async () => {
  const prefix = redis.prefix();
  const fields = async () =>
    (await redis.server.ask<string[]>('HKEYS', `{${prefix}}:c`)).filter((f) => f.includes(':'));
  const queue = new RedisTaskQueue({ url: redis.url, prefix, durability: { atLeast: 'none' } });
  await queue.enqueue({ payload: {} });
  await queue.dequeue();
  expect((await fields()).length).toBeGreaterThan(0);
  await queue.close();
  expect(await fields()).toEqual([]);
  const old = Array.from({ length: 100 }, (_, i) => [
    `a0:dead${i}`,
    '7 1700000000000',
    `a0:dead${i}=`,
    'x',
  ]).flat();
  await redis.server.ask('HSET', `{${prefix}}:c`, ...old);
  const other = new RedisTaskQueue({ url: redis.url, prefix, durability: { atLeast: 'none' } });
  await other.stats();
  expect(await fields()).toEqual([]);
  await other.close();
});
