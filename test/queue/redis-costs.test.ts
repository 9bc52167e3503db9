import { expect, test } from 'vitest';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { FAKE_NOW, FakeClock } from '../../src/testing/fake-clock.ts';
import { RedisCluster } from '../redis/redis-cluster.ts';
import { RedisServer } from '../redis/redis-server.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();
const TASKS = 2_000;
const TYPES = ['research', 'write', 'review', 'publish'];

function open(options: Partial<ConstructorParameters<typeof RedisTaskQueue>[0]> = {}): RedisTaskQueue {
  const prefix = redis.prefix();
  return new RedisTaskQueue({ url: redis.url, prefix, durability: { atLeast: 'none' }, ...options });
}

async function info(section: string, field: string): Promise<number> {
  const said = await redis.server.ask<string>('INFO', section);
  return Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(said)?.[1]);
}

function tasks(count: number) {
  const payload = { goal: 'x'.repeat(315) };
  return Array.from({ length: count }, (_, i) => ({
    agentType: TYPES[i % TYPES.length]!,
    priority: (1 + (i % 10)) as 5,
    payload,
  }));
}

/** Processes all tasks: claims run ahead by 50, settlements of 50 are in flight together. */
async function processAll(queue: RedisTaskQueue): Promise<number> {
  let done = 0;
  for (let held = await queue.dequeueMany(50); held.length > 0; held = await queue.dequeueMany(50)) {
    await Promise.all(held.map((task) => queue.settle(task, { status: 'completed', result: { ok: true } })));
    done += held.length;
  }
  return done;
}

test('a waiting task of 327 bytes of payload holds at most 750 bytes, its history included', async () => {
  const queue = open();
  await queue.stats();
  const before = await info('memory', 'used_memory');
  for (let i = 0; i < 10; i++) await queue.enqueueMany(tasks(TASKS));
  // The parts of a large batch are freed by a thread of Redis' own, a moment after the batch is acknowledged.
  while ((await info('memory', 'lazyfree_pending_objects')) > 0);
  const bytes = ((await info('memory', 'used_memory')) - before) / (10 * TASKS);
  expect(bytes).toBeLessThanOrEqual(750);
  await queue.close();
});

test('a task costs less than a third of a command, those of scripts included', async () => {
  const queue = open();
  await queue.enqueueMany(tasks(TASKS));
  const before = await info('stats', 'total_commands_processed');
  expect(await processAll(queue)).toBe(TASKS);
  const commands = (await info('stats', 'total_commands_processed')) - before;
  expect(commands / TASKS).toBeLessThan(0.33);
  await queue.close();
});

test('tasks that are asked for together are read together, and nobody shares an answer', async () => {
  const queue = open();
  await queue.enqueueMany(['a', 'b', 'c'].map((id) => ({ id, payload: {} })));
  const commands = () => info('stats', 'total_commands_processed');
  await queue.getTask('b');
  const start = await commands();
  await queue.getTask('b');
  const between = await commands();
  const answers = await Promise.all(['a', 'gone', 'c', 'a', 'b'].map((id) => queue.getTask(id)));
  expect((await commands()) - between).toBe(between - start);
  expect(answers.map((task) => task?.id ?? null)).toEqual(['a', null, 'c', 'a', 'b']);
  expect(answers[0]).not.toBe(answers[3]);
  await queue.close();
});

test('keys return to base when ended tasks are purged, whatever became of them', async () => {
  const clock = new FakeClock();
  const prefix = redis.prefix();
  const queue = open({ clock, prefix, retentionMs: 1_000, leaseMs: 60_000 });
  await queue.enqueueMany(tasks(200));
  await queue.enqueueMany([
    { id: 'a', payload: {} },
    { id: 'b', payload: {}, dependsOn: ['a'] },
    { id: 'c', payload: {}, dependsOn: [{ id: 'a', on: 'failure' }] },
    { id: 'delayed', payload: {}, runAt: FAKE_NOW + 50_000 },
    { id: 'by-id', payload: {}, priority: 1 },
  ]);
  const { tasks: waiting } = await queue.listTasks({ limit: 100 });
  for (const { id } of waiting) await queue.cancel(id);
  const [held] = await queue.dequeueMany(1, { ids: ['by-id'] });
  await queue.settle(held!, { status: 'released' });
  await queue.cancel('delayed');
  await processAll(queue);
  await processAll(queue);
  for (let left = 1; left > 0; left = Object.values((await queue.stats()).counts).reduce((a, b) => a + b)) {
    await clock.advance(60_000);
  }
  const keys = await redis.server.ask<string[]>('KEYS', `{${prefix}}:*`);
  expect(keys.filter((key) => !/:(c|minutes|registry:analytics\.\d+)$/.test(key))).toEqual([]);
  await queue.close();
});

test('on a cluster of three nodes all keys of a queue lie on one of them', { timeout: 30_000 }, async () => {
  const { Cluster } = await import('ioredis');
  const cluster = await RedisCluster.start();
  const client = new Cluster(cluster.startNodes, { lazyConnect: true });
  client.on('error', () => {});
  try {
    for (const prefix of ['one', 'two', 'three']) {
      const queue = new RedisTaskQueue({ redis: client, prefix, durability: { atLeast: 'none' } });
      await queue.enqueueMany(tasks(100));
      const woken = new Promise<void>((resolve) => {
        queue.on('available', resolve);
      });
      expect(await processAll(queue)).toBe(100);
      const other = new RedisTaskQueue({ redis: client, prefix, durability: { atLeast: 'none' } });
      await other.enqueue({ payload: {} });
      await woken;
      expect((await queue.stats()).counts.completed).toBe(100);
      await other.close();
      await queue.close();
    }
  } finally {
    client.disconnect();
    await cluster.stop();
  }
});

test('closing is prompt while Redis is away, and leaves nothing behind', async () => {
  await using server = await RedisServer.start();
  const queue = open({ url: server.url });
  await queue.enqueue({ payload: {} });
  const off = queue.on('available', () => {});
  server.pause();
  const stuck = queue.enqueue({ payload: {} }).catch((error: { code: string }) => error.code);
  const from = performance.now();
  await queue.close();
  // Redis never answers: without its bounds this would take for ever.
  expect(performance.now() - from).toBeLessThan(6_000);
  expect(['STORE_UNAVAILABLE', 'CLOSED']).toContain(await stuck);
  off();
  server.continue();
});
