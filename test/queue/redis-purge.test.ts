import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { HybridTaskQueue, RedisTaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { twoQuestions } from '../orchestration/graphs.ts';
import { RedisCluster } from '../redis/redis-cluster.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

type Options = ConstructorParameters<typeof RedisTaskQueue>[0];

/** A task that ended with checkpoints is purged; returns what is left of its thread, and submits it again. */
async function purged(Queue: typeof RedisTaskQueue, options: Options, find: () => Promise<string[]>) {
  const clock = new FakeClock();
  const all = { ...options, clock, durability: { atLeast: 'none' } } as const;
  await using queue = new Queue(all);
  const conductor = new Conductor({ agents: { ask: twoQuestions([]) }, queue });
  const submit = async () => {
    await conductor.enqueueGoal('go', { id: 'again' });
    await conductor.processQueue({ untilEmpty: true });
    return (await queue.getTask('again'))?.status;
  };
  expect(await submit()).toBe('waiting');
  expect(await find()).toHaveLength(2);
  await queue.cancel('again');
  // Whoever purges needs not have made the saver.
  await using sweeper = new Queue({ ...all, retentionMs: 1_000 });
  await clock.advance(2_000);
  await sweeper.stats();
  await clock.advance(10_000);
  await expect.poll(() => queue.getTask('again')).toBeNull();
  await expect.poll(find).toEqual([]);
  expect(await submit()).toBe('waiting');
  await conductor.close();
}

describe('a purged task takes its checkpoints with it, and its id is new again', () => {
  const redis = sharedRedis();

  test.each([
    ['in a Redis', RedisTaskQueue],
    ['under a hybrid queue', HybridTaskQueue],
  ])('%s', async (_, Queue) => {
    const prefix = redis.prefix();
    const client = new Redis(redis.url);
    await purged(Queue, { url: redis.url, prefix }, () => client.keys(`${prefix}:{thread:*`));
    client.disconnect();
  });

  test('over a client that puts a prefix of its own before all keys', async () => {
    const client = new Redis(redis.url, { keyPrefix: 'app:' });
    const plain = new Redis(redis.url);
    await purged(RedisTaskQueue, { redis: client, prefix: 'p' }, () => plain.keys('app:p:{thread:*'));
    client.disconnect();
    plain.disconnect();
  });
});

describe('in a cluster', () => {
  let cluster: RedisCluster | undefined;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
  }, 60_000);
  afterAll(() => cluster?.stop());

  test('a purged task takes its checkpoints with it, whatever slot they lie in', async () => {
    const client = new Cluster(cluster!.startNodes);
    const find = async () =>
      (await Promise.all(client.nodes('master').map((node) => node.keys('p:{thread:*')))).flat();
    await purged(RedisTaskQueue, { redis: client, prefix: 'p' }, find);
    client.disconnect();
  });
});
