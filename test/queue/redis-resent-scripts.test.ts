import { describe, expect, test } from 'vitest';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { RedisTaskStore } from '../../src/queue/backends/redis/redis-task-store.ts';
import type { RedisArgument } from '../../src/redis/ioredis.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import type { RedisScript } from '../../src/redis/redis-script.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

/** A connection on which every answer is lost once: each script is sent twice, and the second answer is taken. */
class ForgetfulConnection extends RedisConnection {
  override async run(
    script: RedisScript,
    keys: readonly string[],
    values: readonly RedisArgument[],
  ): Promise<unknown> {
    const first = await super.run(script, keys, values);
    const second = await super.run(script, keys, values);
    // A claim sent again spells out the states that its first answer left to the store.
    if (String(values[2]).startsWith('c'))
      expect((second as unknown[]).length).toBe((first as unknown[]).length);
    else if (values[2] !== '') expect(second).toEqual(first);
    return second;
  }
}

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
