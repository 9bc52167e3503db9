import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HybridTaskQueue } from '../../src/queue/backends/hybrid/hybrid-task-queue.ts';
import {
  RedisTaskQueue,
  type RedisTaskQueueOptions,
} from '../../src/queue/backends/redis/redis-task-queue.ts';
import { RedisTaskStore } from '../../src/queue/backends/redis/redis-task-store.ts';
import type { NewTask, Task } from '../../src/queue/task.ts';
import type { TaskFilter } from '../../src/queue/task-queue.ts';
import { TcpProxy } from '../faults/tcp-proxy.ts';
import { ForgetfulConnection } from '../redis/forgetful-connection.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { until } from '../redis/until.ts';

const redis = sharedRedis();
const NONE = { durability: { atLeast: 'none' } } as const;
let prefix = '';
let undo: (() => unknown)[] = [];
let ear: Redis;
let heard: string[] = [];

beforeEach(async () => {
  prefix = redis.prefix();
  heard = [];
  ear = new Redis(redis.url);
  ear.on('pmessage', (_pattern: string, _channel: string, message: string) => heard.push(message));
  await ear.psubscribe(`{${prefix}}:standby:*`);
  undo.push(() => ear.disconnect());
});

afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
  undo = [];
});

function open(options: Partial<RedisTaskQueueOptions> = {}): RedisTaskQueue {
  const queue = new RedisTaskQueue({ url: redis.url, prefix, ...NONE, ...options });
  undo.push(() => queue.close());
  return queue;
}

const ask = <T = unknown>(command: string, name: string, ...values: (string | number)[]) =>
  redis.server.ask<T>(command, `{${prefix}}:${name}`, ...values);

/** How many tasks were sent to those that stand by. */
async function sent(): Promise<number> {
  // What was published before is heard before this is answered.
  await ear.ping();
  return heard.length;
}

const standing = () => ask<string[]>('ZRANGE', 'standby', 0, -1);

async function untilStanding(count: number): Promise<void> {
  await until(async () => (await standing()).length === count, `${count} did not stand by`);
}

/** Claims whenever there is news, and keeps what it gets. */
async function workerOf(queue: RedisTaskQueue, filter: TaskFilter = {}): Promise<Task[]> {
  const got: Task[] = [];
  const claim = async () => {
    const task = await queue.dequeue(filter, { start: true });
    if (task) got.push(task);
  };
  queue.on('available', () => void claim());
  await claim();
  return got;
}

async function untilGot(got: readonly Task[], count = 1): Promise<Task> {
  await until(async () => got.length >= count, `${count} tasks were not started`);
  return got[count - 1]!;
}

test('a lone task is claimed for an idle worker of another process in the same call, as by two', async () => {
  const [producer, worker, plain] = [open(), open(), open()];
  const got = await workerOf(worker);
  await untilStanding(1);
  const id = await producer.enqueue({ payload: { n: 1 }, agentType: 'write', priority: 7 });
  const handed = await untilGot(got);
  expect(await sent()).toBe(1);
  expect(handed.id).toBe(id);
  await until(async () => (await ask('EXISTS', 'granted')) === 0, 'it was not said to be heard of');
  expect(await producer.getTask(id)).toEqual(handed);

  await plain.enqueueMany([
    { id: 'a', payload: { n: 1 }, agentType: 'write', priority: 7 },
    // Later: the worker asks as often as it hears of something, which may be twice.
    { id: 'b', payload: {}, delayMs: 60_000 },
  ]);
  const claimed = await untilGot(got, 2);
  const times = { createdAt: 0, runAt: 0, startedAt: 0, rank: 0, id: '' };
  const lease = { ...handed.lease!, expiresAt: 0 };
  expect({ ...handed, ...times, lease }).toEqual({ ...claimed, ...times, lease });
  expect(handed.lease!.expiresAt - handed.startedAt!).toBe(worker.leaseMs);
  expect((await producer.history(id)).map(({ from, to, worker: by }) => [from, to, by])).toEqual([
    [null, 'pending', undefined],
    ['pending', 'in_progress', worker.owner],
  ]);
  const { counts } = await producer.stats();
  expect([counts.pending, counts.in_progress]).toEqual([1, 2]);
  expect((await producer.listTasks()).tasks.map((task) => task.id)).toContain(id);
  await worker.settle(handed, { status: 'completed', result: 1 });
  expect((await producer.waitFor(id)).result).toBe(1);
  expect(await sent()).toBe(1);
});

test('who has ended its task stands by again, and who has claimed one in the usual way does no longer', async () => {
  const [producer, worker] = [open(), open()];
  const got = await workerOf(worker);
  for (let n = 1; n <= 3; n++) {
    await untilStanding(1);
    await producer.enqueue({ payload: { n } });
    await worker.settle(await untilGot(got, n), { status: 'completed' });
  }
  expect(await sent()).toBe(3);
  await untilStanding(1);
  await producer.enqueueMany([{ payload: {} }, { payload: {} }]);
  await untilGot(got, 4);
  await untilStanding(0);
  expect(await sent()).toBe(3);
});

test('who is closed, or listens no more, stands by no more', async () => {
  const [producer, closed, deaf] = [open(), open(), open()];
  await workerOf(closed);
  const off = deaf.on('available', () => {});
  await deaf.dequeue();
  await untilStanding(2);
  await closed.close();
  expect(await standing()).toHaveLength(1);
  off();
  await untilStanding(0);
  await producer.enqueue({ payload: {} });
  expect(await sent()).toBe(0);
});

describe('the usual way is gone where the task is not the one that a claim would take now', () => {
  const CASES: Readonly<Record<string, (queue: RedisTaskQueue) => Promise<unknown>>> = {
    'the queue is paused': async (queue) => {
      await queue.pause();
      await queue.enqueue({ payload: {} });
    },
    'a type is paused': async (queue) => {
      await queue.pause({ agentType: 'write' });
      await queue.enqueue({ payload: {}, agentType: 'write' });
    },
    'it is delayed': (queue) => queue.enqueue({ payload: {}, delayMs: 60_000 }),
    'it is under a limit': (queue) => queue.enqueue({ payload: {}, limits: [{ key: 'none', max: 0 }] }),
    'they are two': (queue) => queue.enqueueMany([{ payload: {} }, { payload: {} }]),
    'they come together': (queue) =>
      Promise.all([queue.enqueue({ payload: {} }), queue.enqueue({ payload: {} })]),
    'it is large': (queue) => queue.enqueue({ payload: { text: 'x'.repeat(100_000) } }),
    'it waits for another': async (queue) => {
      const id = await queue.enqueue({ payload: {}, delayMs: 60_000 });
      await queue.enqueue({ payload: {}, dependsOn: [id] });
    },
  };
  test.each(Object.keys(CASES))('%s', async (name) => {
    const [producer, worker] = [open(), open()];
    const got = await workerOf(worker);
    await untilStanding(1);
    await CASES[name]!(producer);
    expect(await sent()).toBe(0);
    const { counts, ready } = await producer.stats();
    const isFree = ['they are two', 'they come together', 'it is large'].includes(name);
    if (isFree) await untilGot(got);
    else expect([got, counts.in_progress]).toEqual([[], 0]);
    expect(ready).toBeLessThan(3);
  });

  test('something else is ready, though not for that worker', async () => {
    const [producer, worker] = [open(), open()];
    const got = await workerOf(worker, { agentType: 'write' });
    await untilStanding(1);
    await producer.enqueue({ id: 'read', payload: {}, agentType: 'read' });
    await producer.enqueue({ id: 'write', payload: {}, agentType: 'write' });
    expect((await untilGot(got)).id).toBe('write');
    expect(await sent()).toBe(0);
    expect((await producer.dequeue())?.id).toBe('read');
  });

  test('its id exists', async () => {
    const [producer, worker] = [open(), open()];
    const got = await workerOf(worker);
    const id = await producer.enqueue({ id: 'twice', payload: {} });
    await worker.settle(await untilGot(got), { status: 'completed' });
    heard = [];
    await untilStanding(1);
    expect(await producer.enqueue({ id, payload: {} })).toBe(id);
    await expect(producer.enqueue({ id, payload: { other: true } })).rejects.toThrow('twice');
    expect(await sent()).toBe(0);
  });
});

test('a filter is respected: of type, priority, and of what agents may run', async () => {
  const filters: TaskFilter[] = [
    { agentType: ['write', 'read'] },
    { priorityMin: 8 },
    { runnableBy: { agents: ['ann'], agentTypes: ['review'] } },
  ];
  const producer = open();
  const tasks: NewTask[] = [
    { id: 'read', payload: {}, agentType: 'read', priority: 1 },
    { id: 'urgent', payload: {}, agentType: 'other', priority: 9 },
    { id: 'review', payload: {}, agentType: 'review', priority: 1 },
  ];
  for (const [i, filter] of filters.entries()) {
    const worker = open();
    const got = await workerOf(worker, filter);
    await untilStanding(1);
    const id = await producer.enqueue(tasks[i]!);
    const task = await untilGot(got);
    expect([task.id, await sent()]).toEqual([id, i + 1]);
    await worker.settle(task, { status: 'completed' });
    if (i === 2) {
      await untilStanding(1);
      await producer.enqueue({ id: 'pinned', payload: {}, agent: 'ann' });
      expect((await untilGot(got, 2)).id).toBe('pinned');
      expect(await sent()).toBe(4);
    }
    await worker.close();
  }
});

test.each<[TaskFilter, Partial<NewTask>]>([
  [{ agentType: 'write' }, { agentType: 'read' }],
  [{ agentType: 'write' }, {}],
  [{ priorityMin: 8 }, { priority: 7 }],
  [{ runnableBy: { agents: ['ann'], agentTypes: ['review'] } }, { agentType: 'write' }],
  [{ runnableBy: { agents: ['ann'], agentTypes: 'all' } }, { agent: 'bob' }],
  [{ runnableBy: { agents: [], agentTypes: 'all' } }, {}],
  [{ ids: ['other'] }, {}],
])('who asks for %j is not sent %j', async (filter, task) => {
  const [producer, worker, any] = [open(), open(), open()];
  const got = await workerOf(worker, filter);
  await workerOf(any);
  await untilStanding(filter.ids ? 1 : 2);
  await any.close();
  await producer.enqueue({ payload: {}, ...task });
  expect([await sent(), got]).toEqual([0, []]);
  expect((await producer.stats()).ready).toBe(1);
});

test('nobody sends itself a task', async () => {
  const queue = open();
  queue.on('available', () => {});
  await queue.dequeue();
  await untilStanding(1);
  await queue.enqueue({ payload: {} });
  expect(await sent()).toBe(0);
  expect(await queue.dequeue()).not.toBeNull();
});

test('who is closed gives back what it was sent and never heard of', async () => {
  const [producer, worker] = [open(), open()];
  await workerOf(worker);
  await untilStanding(1);
  const [name = ''] = (await standing())[0]!.split('\n');
  const usurper = new Redis(redis.url);
  undo.push(() => usurper.disconnect());
  await redis.server.ask('CLIENT', 'KILL', 'TYPE', 'PUBSUB');
  await usurper.subscribe(`{${prefix}}:standby:${name}`);
  const id = await producer.enqueue({ payload: {} });
  await worker.close();
  const { status, crashes } = (await producer.getTask(id))!;
  expect([status, crashes, await standing()]).toEqual(['pending', 0, []]);
});

test('a submission that is sent twice is claimed once', async () => {
  const worker = open();
  const producer = new RedisTaskQueue({ url: redis.url, prefix, ...NONE }, (options) => {
    const connection = new ForgetfulConnection({ url: redis.url });
    undo.push(() => connection.close());
    return new RedisTaskStore({ ...options, connection });
  });
  undo.push(() => producer.close());
  const got = await workerOf(worker);
  await untilStanding(1);
  const id = await producer.enqueue({ payload: {} });
  await worker.settle(await untilGot(got), { status: 'completed' });
  expect((await producer.history(id)).map(({ to }) => to)).toEqual(['pending', 'in_progress', 'completed']);
  expect(await sent()).toBe(1);
  expect(got).toHaveLength(1);
});

test('a worker that does not want its task after all gives it back at once, uncharged, and is spared', async () => {
  const [producer, busy] = [open(), open()];
  busy.on('available', () => {});
  await busy.dequeue({}, { start: true });
  await untilStanding(1);
  const id = await producer.enqueue({ payload: {} });
  expect(await sent()).toBe(1);
  const other = open();
  const got = await workerOf(other);
  const task = await untilGot(got);
  expect([task.id, task.crashes, task.retryCount, task.lease?.fence]).toEqual([id, 0, 0, 2]);
  expect((await producer.history(id)).map(({ to, reason }) => [to, reason])).toEqual([
    ['pending', undefined],
    ['in_progress', undefined],
    ['pending', 'not taken up'],
    ['in_progress', undefined],
  ]);
  await busy.dequeue();
  await other.settle(task, { status: 'completed' });
  await untilStanding(1);
  expect((await standing())[0]).toContain(other.owner);
});

test('a worker whose listening connection was closed is told of nothing, and stands by again when it is back', async () => {
  const [producer, worker] = [open(), open()];
  const got = await workerOf(worker);
  await untilStanding(1);
  await redis.server.ask('CLIENT', 'KILL', 'TYPE', 'PUBSUB');
  await producer.enqueue({ payload: {} });
  const task = await untilGot(got);
  expect(task.lease?.fence).toBe(1);
  await worker.settle(task, { status: 'completed' });
  const before = await sent();
  await until(async () => {
    await producer.enqueue({ payload: {} });
    await worker.settle(await untilGot(got, got.length + 1), { status: 'completed' });
    return (await sent()) > before;
  }, 'it stood by no more');
});

test('a message that was lost with its connection is made good when the worker is back', async () => {
  const proxy = await TcpProxy.start(redis.server.port);
  undo.push(() => proxy.stop());
  const [producer, worker] = [open(), open({ url: proxy.url })];
  const got = await workerOf(worker);
  await untilStanding(1);
  proxy.blackHole();
  const id = await producer.enqueue({ payload: {} });
  // Nobody is left who could take it back.
  await producer.close();
  expect((await ask<string[]>('HVALS', 'granted'))[0]).toBe(id);
  expect(got).toEqual([]);
  proxy.cut();
  proxy.heal();
  const task = await untilGot(got);
  expect([task.id, task.crashes, task.lease?.fence]).toEqual([id, 0, 2]);
});

test('who submitted a task takes it back from a worker that was not heard of for half the lease', async () => {
  const proxy = await TcpProxy.start(redis.server.port);
  undo.push(() => proxy.stop());
  const lease = { leaseMs: 1_000, sweepMs: 60_000 };
  const [producer, lost, other] = [open(lease), open({ url: proxy.url, ...lease }), open(lease)];
  const gotByLost = await workerOf(lost);
  await untilStanding(1);
  proxy.blackHole();
  const id = await producer.enqueue({ payload: {} });
  const got = await workerOf(other);
  const task = await untilGot(got);
  expect([task.id, task.crashes, task.lease?.fence]).toEqual([id, 0, 2]);
  await other.settle(task, { status: 'completed' });
  proxy.heal();
  await lost.stats();
  expect((await producer.history(id)).map(({ to }) => to)).toEqual([
    'pending',
    'in_progress',
    'pending',
    'in_progress',
    'completed',
  ]);
  expect(gotByLost).toEqual([]);
});

test('garbage among those that stand by hinders no submission', async () => {
  const [producer, worker] = [open(), open()];
  const got = await workerOf(worker);
  await untilStanding(1);
  await ask('ZADD', 'standby', 9e15, 'garbage', 9e15, 'a\nb\nc\n+5\ni\n\n*\n*\n*');
  await producer.enqueue({ payload: {} });
  await worker.settle(await untilGot(got), { status: 'completed' });
  await untilStanding(1);
  await ask('DEL', 'standby');
  await ask('SET', 'standby', 'garbage');
  await producer.enqueue({ payload: {} });
  await worker.settle(await untilGot(got, 2), { status: 'completed' });
  await until(async () => (await ask('TYPE', 'standby')) === 'zset', 'nobody stands by');
  await ask('SET', 'granted', 'garbage');
  await producer.enqueue({ payload: {} });
  await worker.settle(await untilGot(got, 3), { status: 'completed' });
  expect((await producer.stats()).counts.completed).toBe(3);
});

test('a queue that waits for replicas, and one that holds tasks ahead, do without', async () => {
  const makers = [
    () => open({ durability: { atLeast: 'none', waitReplicas: 1 }, commandTimeoutMs: 300 }),
    () => {
      const queue = new HybridTaskQueue({ url: redis.url, prefix, ...NONE });
      undo.push(() => queue.close());
      return queue;
    },
  ];
  const producer = open();
  for (const make of makers) {
    const worker = make();
    worker.on('available', () => {});
    await worker.dequeue().catch(() => {});
    await producer.enqueue({ payload: {} });
    expect([await standing(), await sent()]).toEqual([[], 0]);
  }
});
