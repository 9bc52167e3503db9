import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import { expectQuiet } from './audit.ts';
import { onRedis, REDIS_BACKENDS } from './on-redis.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const GOOD = scaled(60, 1_000);
const BAD = scaled(12, 100);
const GARBAGE = ['', 'garbage', '{', '\u0000\u0001\u00ff', '9'.repeat(40), 'null', '[]', '-1 -1 - - -1 -1'];

test.for(REDIS_BACKENDS)(
  'R18: garbage in what is stored of some tasks (%s) stops none of the others, nor lists and counts',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    const server = await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 1_000, sweepMs: 100 };
    const queue = stage.queue();
    const good = Array.from({ length: GOOD }, (_, n) => `good-${n}`);
    const bad = Array.from({ length: BAD }, (_, n) => `bad-${n}`);
    const mixed = [...good, ...bad].sort(() => stage.random.next() - 0.5);
    await queue.enqueueMany(
      mixed.map((id, n) => ({ id, payload: { ms: 1 }, priority: (1 + (n % 10)) as 5 })),
    );
    expect(await spoil(stage, server.client(), bad), 'fields that were spoilt').toBeGreaterThanOrEqual(BAD);

    await stage.launch('queue-worker');
    for (const id of good)
      expect((await queue.waitFor(id, { timeoutMs: 20_000 })).status, id).toBe('completed');
    await expectAnswers(queue, good);
    await queue.enqueue({ id: 'afterwards', payload: {} });
    expect((await queue.waitFor('afterwards', { timeoutMs: 10_000 })).status).toBe('completed');
    for (const id of bad) expect(await endOf(queue, id), id).not.toBe('completed');
    expectQuiet(stage);
  },
);

test.for(REDIS_BACKENDS)(
  'R18: foreign entries among the keys of a queue (%s) stop nothing',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    const server = await onRedis(stage, backend);
    const queue = stage.queue();
    const good = Array.from({ length: GOOD }, (_, n) => `good-${n}`);
    await queue.enqueueMany(good.map((id) => ({ id, payload: { ms: 1 } })));
    await addForeign(server.client());

    await stage.launch('queue-worker');
    for (const id of good)
      expect((await queue.waitFor(id, { timeoutMs: 20_000 })).status, id).toBe('completed');
    await expectAnswers(queue, good);
    expectQuiet(stage);
  },
);

test.for(REDIS_BACKENDS)(
  'R18: lists of groups that somebody overwrote (%s) hide nothing that was in them',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    const server = await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 1_000, sweepMs: 100 };
    const queue = stage.queue();
    const shares = [{ limits: [{ key: 'full', max: 1 }] }, { fairKey: 'tenant' }, {}] as const;
    const good = Array.from({ length: GOOD }, (_, n) => `good-${n}`);
    // What its gate lets pass stands among the tasks without limits.
    await queue.pause({ key: 'full' });
    await queue.enqueueMany(
      good.map((id, n) => ({ id, payload: { ms: 1 }, agentType: `t${n % 5}`, ...shares[n % 3] })),
    );
    expect(await overwrite(server.client(), ['groups', 'line', 'parked'])).toBeGreaterThanOrEqual(2);
    await queue.resume({ key: 'full' });

    await stage.launch('queue-worker');
    for (const id of good)
      expect((await queue.waitFor(id, { timeoutMs: 20_000 })).status, id).toBe('completed');
    expectQuiet(stage);
  },
);

/** Puts a text where these lists were. Returns how many there were. */
async function overwrite(redis: Redis, names: readonly string[]): Promise<number> {
  const isListed = (key: string) => names.some((name) => key.endsWith(`:${name}`));
  const listed = (await redis.keys('*')).filter(isListed);
  for (const key of listed) await redis.set(key, 'garbage');
  return listed.length;
}

/** Overwrites whatever is stored under the name of a bad task, wherever that is. Returns how many values it was. */
async function spoil(stage: Stage, redis: Redis, bad: readonly string[]): Promise<number> {
  const isBad = (name: string) => bad.some((id) => name.split(/[^\w-]/).includes(id));
  let spoilt = 0;
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    if (type !== 'hash') {
      if (isBad(key)) spoilt += await redis.del(key);
      continue;
    }
    for (const field of await redis.hkeys(key)) {
      if (!isBad(key) && !isBad(field)) continue;
      await redis.hset(key, field, stage.random.pick(GARBAGE));
      spoilt++;
    }
  }
  return spoilt;
}

/** An entry that none of our code has written, in each collection. */
async function addForeign(redis: Redis): Promise<void> {
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    if (type === 'hash') await redis.hset(key, 'foreign field', 'foreign value');
    if (type === 'zset') await redis.zadd(key, 1, 'foreign member');
    if (type === 'set') await redis.sadd(key, 'foreign member');
    if (type === 'list') await redis.lpush(key, 'foreign entry');
  }
}

async function expectAnswers(queue: StoredTaskQueue, good: readonly string[]): Promise<void> {
  await eventually(
    async () => (await queue.stats()).counts.completed >= good.length,
    10_000,
    () => 'stats() does not count them',
  );
  const listed = new Set<string>();
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({ limit: 100, ...(cursor === undefined ? {} : { cursor }) });
    for (const { id } of page.tasks) listed.add(id);
    cursor = page.cursor;
  } while (cursor !== undefined);
  expect(good.filter((id) => !listed.has(id))).toEqual([]);
}

/** How it ended: a status, or the code of the refusal to tell. */
async function endOf(queue: StoredTaskQueue, id: string): Promise<string | undefined> {
  try {
    return (await queue.getTask(id))?.status;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}
