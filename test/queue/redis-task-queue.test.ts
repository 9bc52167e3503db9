import { once } from 'node:events';
import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import type { TaskQueue } from '../../src/queue/task-queue.ts';
import { RedisServer } from '../redis/redis-server.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const HOUR_MS = 3_600_000;
const redis = sharedRedis();
const prefixes = new WeakMap<object, string>();
const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

function open(options: Partial<ConstructorParameters<typeof RedisTaskQueue>[0]> = {}): RedisTaskQueue {
  const prefix = options.prefix ?? redis.prefix();
  const queue = new RedisTaskQueue({
    ...(options.redis === undefined && { url: redis.url }),
    durability: { atLeast: 'none' },
    ...options,
    prefix,
  });
  prefixes.set(queue, prefix);
  opened.push(queue);
  return queue;
}

async function run(queue: TaskQueue): Promise<void> {
  const id = await queue.enqueue({ payload: { n: 1 } });
  const task = await queue.dequeue({ ids: [id] }, { start: true });
  await queue.settle(task!, { status: 'completed', result: 'done' });
  expect((await queue.getTask(id))?.status).toBe('completed');
}

describe('a queue in Redis', () => {
  test.each([
    ['6', Redis],
    ['5.11', Redis5],
  ])('works over an ioredis client of version %s and leaves that open', async (_, Client) => {
    const client = new (Client as unknown as typeof Redis)(redis.url);
    const queue = open({ redis: client });
    await run(queue);
    await queue.close();
    expect(await client.ping()).toBe('PONG');
    client.disconnect();
  });

  test('refuses a prefix that could not be one hash tag, and an address that is none', () => {
    expect(() => new RedisTaskQueue({ url: redis.url, prefix: 'a{b}' })).toThrow(/prefix/);
    expect(() => new RedisTaskQueue({ url: 'http://user:geheim@x' })).toThrow(/redis:\/\//);
    expect(() => new RedisTaskQueue({ url: 'http://user:geheim@x' })).not.toThrow(/geheim/);
  });

  test('two queues under different prefixes do not meet', async () => {
    const one = open();
    const other = open();
    await one.enqueue({ payload: {} });
    expect(await other.dequeue()).toBeNull();
    expect((await one.stats()).ready).toBe(1);
  });

  test('leases are judged by the time of Redis: a wall clock an hour ahead or behind takes nothing from others', async () => {
    const prefix = redis.prefix();
    const honest = open({ prefix, leaseMs: 60_000 });
    await honest.enqueue({ id: 'a', payload: {} });
    const held = await honest.dequeue({}, { start: true });
    for (const hours of [1, -1]) {
      vi.spyOn(Date, 'now').mockReturnValue(realNow() + hours * HOUR_MS);
      const wrong = open({ prefix, leaseMs: 60_000, sweepMs: 20 });
      await wrong.enqueue({ id: `first${hours}`, payload: {} });
      const first = await wrong.dequeue();
      expect(first?.id).toBe(`first${hours}`);
      expect(Math.abs(first!.createdAt - realNow())).toBeLessThan(HOUR_MS / 10);
      expect(await wrong.dequeue()).toBeNull();
      await new Promise((resolve) => setTimeout(resolve, 80));
      vi.restoreAllMocks();
      await wrong.enqueue({ id: `b${hours}`, payload: {} });
      const task = await wrong.dequeue({ ids: [`b${hours}`] });
      expect(Math.abs(task!.createdAt - Date.now())).toBeLessThan(HOUR_MS / 10);
      expect(Math.abs(task!.lease!.expiresAt - Date.now() - 60_000)).toBeLessThan(HOUR_MS / 10);
    }
    expect((await honest.settle(held!, { status: 'completed' })).status).toBe('completed');
  });

  test('an idle worker is woken by a submission elsewhere, long before it would poll', async () => {
    const prefix = redis.prefix();
    const worker = open({ prefix });
    const producer = open({ prefix });
    await producer.stats();
    const taken = new Promise<string>((resolve) => {
      worker.on('available', async () => {
        const task = await worker.dequeue();
        if (task) resolve(task.id);
      });
    });
    await until(async () => (await watchers(prefix)).length > 0);
    const startedAt = performance.now();
    const id = await producer.enqueue({ payload: {} });
    expect(await taken).toBe(id);
    expect(performance.now() - startedAt).toBeLessThan(worker.pollMs! / 2);
  });

  test('an idle worker hears of a submission that had to be sent again, with the claim overtaking it', async () => {
    const prefix = redis.prefix();
    const worker = open({ prefix });
    const taken = new Promise<string>((resolve) => {
      worker.on('available', async () => {
        const task = await worker.dequeue();
        if (task) resolve(task.id);
      });
    });
    await until(async () => (await watchers(prefix)).length > 0);
    await redis.server.ask('SCRIPT', 'FLUSH');
    // Redis knows the claim again, and not yet the insertion.
    await worker.dequeue();
    const startedAt = performance.now();
    const id = await worker.enqueue({ payload: {} });
    expect(await taken).toBe(id);
    expect(performance.now() - startedAt).toBeLessThan(worker.pollMs! / 2);
  });

  test('who waits for a task hears of its end in another process', async () => {
    const prefix = redis.prefix();
    const one = open({ prefix });
    const other = open({ prefix });
    const id = await one.enqueue({ payload: {} });
    const ended = one.waitFor(id);
    await until(async () => (await watchers(prefix)).length > 0);
    const task = await other.dequeue({}, { start: true });
    await other.settle(task!, { status: 'completed', result: 7 });
    expect((await ended).result).toBe(7);
  });
});

/** The wall clock, whatever a test makes of `Date.now`. */
function realNow(): number {
  return performance.timeOrigin + performance.now();
}

async function watchers(prefix: string): Promise<string> {
  return (await redis.server.ask<string | null>('HGET', `{${prefix}}:c`, 'watchers')) ?? '';
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('durability()', () => {
  const levels = [
    [{}, 'none'],
    [{ config: ['save 3600 1'] }, 'snapshot'],
    [{ appendonly: true }, 'everysec'],
    [{ appendonly: true, appendfsync: 'always' }, 'always'],
    [{ config: ['rename-command CONFIG ""'] }, 'unknown'],
    [{ config: ['user default on nopass ~* &* +@all -config -info'] }, 'unknown'],
  ] as const;
  test.each(levels)('tells how Redis is configured: %j is %s', async (options, level) => {
    // ioredis tells on the console that it may not ask for INFO.
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    await using server = await RedisServer.start(options);
    const queue = open({ url: server.url });
    expect(await queue.durability()).toEqual({
      level,
      replicas: 0,
      waitReplicas: 0,
      evicts: level === 'unknown' ? undefined : false,
    });
    await run(queue);
    await queue.close();
    const demanding = open({ url: server.url, durability: { atLeast: 'everysec' } });
    const enough = level === 'everysec' || level === 'always';
    if (enough) await run(demanding);
    else await expect(demanding.enqueue({ payload: {} })).rejects.toMatchObject({ code: 'NOT_DURABLE' });
    await demanding.close();
    warn.mockRestore();
  });

  test('a Redis that may evict tasks is refused where durability is demanded', async () => {
    await using server = await RedisServer.start({
      appendonly: true,
      maxmemory: '50mb',
      maxmemoryPolicy: 'allkeys-lru',
    });
    const queue = open({ url: server.url, durability: { atLeast: 'everysec' } });
    await expect(queue.enqueue({ payload: {} })).rejects.toMatchObject({ code: 'NOT_DURABLE' });
    expect((await queue.durability()).evicts).toBe(true);
    await queue.close();
  });

  test('with waitReplicas a write is acknowledged when replicas have it, and refused without them', async () => {
    await using master = await RedisServer.start();
    const queue = open({ url: master.url, durability: { atLeast: 'none', waitReplicas: 1 } });
    await expect(queue.enqueue({ payload: {} })).rejects.toMatchObject({ code: 'NOT_DURABLE' });
    await using replica = await RedisServer.start({ replicaOf: master });
    await until(async () => /state=online/.test(await master.ask<string>('INFO', 'replication')));
    const id = await queue.enqueue({ payload: {} });
    expect(await replica.ask('HEXISTS', `{${prefixOf(queue)}}:t`, id)).toBe(1);
    expect((await queue.durability()).replicas).toBe(1);
    replica.pause();
    await expect(queue.enqueue({ id: 'late', payload: {} })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    replica.continue();
    expect(await queue.enqueue({ id: 'late', payload: {} })).toBe('late');
    await queue.close();
  });

  test('without a demand one warning tells that tasks can be lost', async () => {
    const warned = once(process, 'warning');
    const queue = new RedisTaskQueue({ url: redis.url, prefix: redis.prefix() });
    await queue.stats();
    const [warning] = (await warned) as [Error & { code: string }];
    expect(warning).toMatchObject({ code: 'JOTTY_NOT_DURABLE' });
    await queue.close();
  });
});

function prefixOf(queue: object): string {
  return prefixes.get(queue) ?? '';
}
