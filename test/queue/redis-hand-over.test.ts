import { afterEach, expect, test } from 'vitest';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import type { NewTask, Task } from '../../src/queue/task.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();
const opened: RedisTaskQueue[] = [];

function open(prefix = redis.prefix()): RedisTaskQueue {
  const queue = new RedisTaskQueue({ url: redis.url, prefix, durability: { atLeast: 'none' } });
  opened.push(queue);
  return queue;
}

afterEach(async () => {
  for (const queue of opened.splice(0)) await queue.close();
});

/** How many scripts have run. */
async function scripts(): Promise<number> {
  const said = await redis.server.ask<string>('INFO', 'commandstats');
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(said)?.[1] ?? 0);
}

/** Enqueues where one claim of this process waits for it, as an idle worker's does. */
async function enqueueAndClaim(queue: RedisTaskQueue, task: NewTask): Promise<[string, Task | null]> {
  return Promise.all([queue.enqueue(task), queue.dequeue({}, { start: true })]);
}

test('a task that meets an idle worker of its process is stored and started in one call, as by two', async () => {
  const queue = open();
  const plain = open();
  // Both scripts are known and the queue is open from here on.
  for (const each of [queue, plain]) {
    await each.stats();
    const [, task] = await enqueueAndClaim(each, { payload: {} });
    await each.settle(task!, { status: 'completed' });
  }
  const before = await scripts();
  const [id, handed] = await enqueueAndClaim(queue, { payload: { n: 1 }, agentType: 'write', priority: 7 });
  expect((await scripts()) - before).toBe(1);

  await plain.enqueue({ id, payload: { n: 1 }, agentType: 'write', priority: 7 });
  const claimed = await plain.dequeue({}, { start: true });
  const times = { createdAt: 0, runAt: 0, startedAt: 0, rank: 0 };
  const lease = { ...handed!.lease!, expiresAt: 0, owner: '' };
  expect({ ...handed, ...times, lease }).toEqual({ ...claimed, ...times, lease });
  const read = await queue.getTask(id);
  expect(read).toEqual(handed);
  expect((await queue.history(id)).map(({ from, to }) => [from, to])).toEqual([
    [null, 'pending'],
    ['pending', 'in_progress'],
  ]);
  const { counts } = await queue.stats();
  expect([counts.pending, counts.in_progress, counts.completed]).toEqual([0, 1, 1]);
  expect((await queue.listTasks()).tasks.map((task) => task.id)).toContain(id);
  expect(await queue.dequeue()).toBeNull();
  await queue.settle(handed!, { status: 'completed', result: 1 });
  expect((await queue.getTask(id))?.result).toBe(1);
});

test('what is ready already goes first, and what was enqueued goes next', async () => {
  const queue = open();
  await queue.enqueue({ id: 'urgent', payload: {}, priority: 10 });
  const [, first] = await enqueueAndClaim(queue, { id: 'low', payload: {}, priority: 1 });
  expect(first?.id).toBe('urgent');
  expect((await queue.dequeue())?.id).toBe('low');
});

test('a paused queue, an id that exists, a limit, a delay and a filter are respected', async () => {
  const queue = open();
  await queue.pause();
  expect((await enqueueAndClaim(queue, { id: 'a', payload: {} }))[1]).toBeNull();
  await queue.resume();
  expect((await queue.dequeue())?.id).toBe('a');
  expect(await enqueueAndClaim(queue, { id: 'a', payload: {} })).toEqual(['a', null]);
  await expect(enqueueAndClaim(queue, { id: 'a', payload: { other: true } })).rejects.toThrow(/a/);
  expect((await enqueueAndClaim(queue, { id: 'b', payload: {}, delayMs: 60_000 }))[1]).toBeNull();
  const limits = [{ key: 'none', max: 0 }];
  expect((await enqueueAndClaim(queue, { id: 'c', payload: {}, limits }))[1]).toBeNull();
  const [, other] = await Promise.all([
    queue.enqueue({ id: 'd', payload: {}, agentType: 'write' }),
    queue.dequeue({ agentType: 'read' }),
  ]);
  expect(other).toBeNull();
  expect((await queue.dequeue({ agentType: 'write' }))?.id).toBe('d');
});

test('a queue in which other tasks are ready is soon asked in the usual way', async () => {
  const queue = open();
  await queue.enqueueMany(Array.from({ length: 40 }, () => ({ payload: {} })));
  const before = await scripts();
  for (let i = 0; i < 20; i++) await enqueueAndClaim(queue, { payload: {} });
  expect((await scripts()) - before).toBeLessThan(2 * 20 + 8);
});
