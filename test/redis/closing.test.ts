import { expect, test } from 'vitest';
import { RedisSaver } from '../../src/checkpoint/redis-saver.ts';
import { HybridTaskQueue, RedisTaskQueue } from '../../src/queue/index.ts';
import { RedisServer } from './redis-server.ts';
import { until } from './until.ts';

const durability = { atLeast: 'none' } as const;
const CODES = ['STORE_UNAVAILABLE', 'CLOSED'];

/** A user of Redis, with calls under way. */
interface InUse {
  readonly calls: readonly Promise<unknown>[];
  readonly close: () => Promise<void>;
}

async function useQueue(
  Queue: typeof RedisTaskQueue | typeof HybridTaskQueue,
  server: RedisServer,
  leave: () => unknown,
): Promise<InUse> {
  const queue = new Queue({ url: server.url, durability });
  queue.on('available', () => {});
  const ids = await queue.enqueueMany(Array.from({ length: 50 }, () => ({ payload: {} })));
  const held = await queue.dequeueMany(10, {}, { start: true });
  await leave();
  const calls = [
    queue.enqueue({ payload: {} }),
    queue.dequeueMany(50),
    queue.waitFor(ids[49]!),
    queue.stats(),
    ...held.map((task) => queue.settle(task, { status: 'completed' })),
  ];
  return { calls, close: () => queue.close() };
}

async function useSaver(server: RedisServer, leave: () => unknown): Promise<InUse> {
  const saver = new RedisSaver({ url: server.url });
  const config = { configurable: { thread_id: 't' } };
  await saver.getTuple(config);
  await leave();
  return { calls: [saver.getTuple(config), saver.deleteThread('t')], close: () => saver.close() };
}

const USERS = {
  RedisTaskQueue: (server: RedisServer, leave: () => unknown) => useQueue(RedisTaskQueue, server, leave),
  HybridTaskQueue: (server: RedisServer, leave: () => unknown) => useQueue(HybridTaskQueue, server, leave),
  RedisSaver: useSaver,
};
const LEAVES = {
  killed: (server: RedisServer) => server.kill9(),
  stopped: (server: RedisServer) => server.pause(),
};

const CASES = Object.entries(USERS).flatMap(([name, use]) =>
  Object.entries(LEAVES).map(([way, leave]) => [name, way, use, leave] as const),
);

test.each(CASES)(
  '%s that is closed while Redis is %s: every call ends, and no socket is left',
  async (_, way, use, leave) => {
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => /^TCP|GETADDR/.test(kind)).length;
    await using server = await RedisServer.start();
    await until(async () => sockets() === 0, 'the start of the server has left sockets');
    const { calls, close } = await use(server, () => leave(server));
    // Were they not seen, that none is left would say nothing.
    if (way === 'stopped') expect(sockets()).toBeGreaterThan(0);
    const ends = Promise.allSettled(calls);
    await close();
    for (const end of await ends)
      if (end.status === 'rejected') expect(CODES, String(end.reason)).toContain(end.reason.code);
    await until(async () => sockets() === 0, 'sockets are left');
  },
);
