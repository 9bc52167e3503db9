import { afterEach, expect, test } from 'vitest';
import { RateLimitError } from '../../src/errors.ts';
import { RedisHoldingStore } from '../../src/queue/backends/hybrid/redis-holding-store.ts';
import { HybridTaskQueue, RedisTaskQueue } from '../../src/queue/index.ts';
import { stateOf } from '../../src/queue/task-record.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { aRecord, NOW } from '../../src/testing/task-store-cases/steps.ts';
import { ForgetfulConnection } from '../redis/forgetful-connection.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { until } from '../redis/until.ts';

const redis = sharedRedis();
const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((queue) => queue.close()));
});

/** Two queues on one Redis, the first of which holds tasks ahead. */
function aPair(leaseMs = 30_000) {
  const at = { url: redis.url, prefix: redis.prefix() };
  const holder = new HybridTaskQueue({ ...at, leaseMs, prefetchTasksMin: 10 });
  const plain = new RedisTaskQueue({ ...at, leaseMs });
  opened.push(holder, plain);
  const heldUntil = async () => {
    const holders = await redis.server.ask<string | null>('HGET', `{${at.prefix}}:c`, 'holders');
    return [...(holders ?? '').matchAll(/:(\d+)/g)].map(([, until]) => Number(until));
  };
  return { holder, plain, heldUntil };
}

async function submit(queue: HybridTaskQueue, ids: readonly string[]): Promise<void> {
  await queue.enqueueMany(ids.map((id) => ({ id, payload: {} })));
}

test('a node that lives keeps what it holds, however short its leases are; close() gives it back at once', async () => {
  const { holder, plain, heldUntil } = aPair(1_000);
  await submit(holder, ['a', 'b', 'c']);
  await holder.settle((await holder.dequeue())!, { status: 'completed' });
  // The time of Redis is nobody's to move: the node has shown for longer than a hold that it lives.
  const [first] = await heldUntil();
  await until(async () => (await heldUntil())[0]! > first! + 2_000, 'the node does not renew its hold');
  expect(await plain.dequeue({ ids: ['b', 'c'] })).toBeNull();
  expect((await plain.getTask('b'))?.status).toBe('pending');
  await holder.close();
  expect(await plain.dequeue({ ids: ['b'] })).toMatchObject({ id: 'b', lease: { fence: 1 }, crashes: 0 });
});

test('a cancel and a pause from another process reach what is held here', async () => {
  const { holder, plain } = aPair();
  await submit(holder, ['a', 'b', 'c', 'd']);
  await holder.settle((await holder.dequeue())!, { status: 'completed' });
  await plain.cancel('b');
  await plain.pause();
  const late = await holder.dequeue();
  if (late) expect(['b', 'c']).toContain(late.id);
  await expect.poll(() => holder.dequeue(), { timeout: 30_000 }).toBeNull();
  await plain.resume();
  const rest = [];
  for (let task = await holder.dequeue(); task; task = await holder.dequeue()) rest.push(task.id);
  expect(rest).not.toContain('b');
  expect((await plain.getTask('b'))?.status).toBe('cancelled');
});

test('pause() of a hybrid queue resolves when the other nodes have given back what they held', async () => {
  const at = { url: redis.url, prefix: redis.prefix(), prefetchTasksMin: 5 };
  const nodes = [new HybridTaskQueue(at), new HybridTaskQueue(at)] as const;
  opened.push(...nodes);
  await submit(
    nodes[0],
    Array.from({ length: 30 }, (_, n) => `t${n}`),
  );
  for (const node of nodes) expect(await node.dequeue()).not.toBeNull();
  await nodes[0].pause();
  expect(await Promise.all(nodes.map((node) => node.dequeue()))).toEqual([null, null]);
});

function under(key: string, max: number, ids: readonly string[]) {
  return ids.map((id) => ({ id, payload: {}, limits: [{ key, max }] }));
}

test('tasks under a limit are held with their places, and no more of them than leave half of it to others', async () => {
  const { holder, plain } = aPair();
  await submit(holder, ['free']);
  await holder.dequeue();
  await holder.enqueueMany(under('k', 8, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']));
  expect((await holder.dequeue())?.id).toBe('a');
  expect(await plain.limits(['k'])).toMatchObject([{ used: 4, max: 8 }]);
  expect((await plain.dequeueMany(9)).map(({ id }) => id)).toEqual(['e', 'f', 'g', 'h']);
  expect((await holder.dequeueMany(9)).map(({ id }) => id)).toEqual(['b', 'c', 'd']);
  expect(await plain.limits(['k'])).toMatchObject([{ used: 8, max: 8 }]);
  await holder.close();
});

test('what is claimed and ended here leaves its places: who was kept back goes before the less urgent', async () => {
  const { holder } = aPair();
  const urgent = under('k', 2, ['a', 'b', 'c', 'd']).map((task) => ({ ...task, priority: 10 as const }));
  await holder.enqueueMany(urgent);
  await submit(holder, ['free1', 'free2', 'free3']);
  const [a, b, free] = await holder.dequeueMany(3);
  expect([a!.id, b!.id, free!.id]).toEqual(['a', 'b', 'free1']);
  await holder.settle(a!, { status: 'completed' });
  expect((await holder.dequeue())?.id).toBe('c');
  await Promise.all([b!, free!].map((task) => holder.settle(task, { status: 'completed' })));
  expect((await holder.dequeueMany(2)).map(({ id }) => id)).toEqual(['d', 'free2']);
});

test('who finds no place under a key gets some of what another node holds under it', async () => {
  const at = { url: redis.url, prefix: redis.prefix(), prefetchTasksMin: 10 };
  const nodes = [new HybridTaskQueue(at), new HybridTaskQueue(at)] as const;
  opened.push(...nodes);
  await nodes[0].enqueueMany(under('k', 8, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']));
  await nodes[0].dequeue();
  const taken = await nodes[1].dequeueMany(9);
  expect(taken.length).toBeLessThan(7);
  await until(async () => {
    taken.push(...(await nodes[1].dequeueMany(9)));
    return taken.length === 7;
  }, 'all places but that of the first node are taken');
  expect(await nodes[1].limits(['k'])).toMatchObject([{ used: 8 }]);
});

test('the pause of a key resolves when the other nodes have given back what they held', async () => {
  const at = { url: redis.url, prefix: redis.prefix(), prefetchTasksMin: 5 };
  const nodes = [new HybridTaskQueue(at), new HybridTaskQueue(at)] as const;
  opened.push(...nodes);
  const ids = Array.from({ length: 20 }, (_, n) => `t${n}`);
  await nodes[0].enqueueMany(under('k', 100, ids));
  for (const node of nodes) expect(await node.dequeue()).not.toBeNull();
  await nodes[0].pause({ key: 'k' });
  expect(await Promise.all(nodes.map((node) => node.dequeue()))).toEqual([null, null]);
  expect(await nodes[0].limits(['k'])).toMatchObject([{ used: 2, paused: true }]);
  await nodes[1].resume({ key: 'k' });
  expect(await nodes[0].dequeueMany(20)).toHaveLength(18);
});

test('what is held under a key does not start once that was told of too many calls', async () => {
  const { holder } = aPair();
  await holder.enqueueMany(under('k', 100, ['a', 'b', 'c']));
  await submit(holder, ['free']);
  // It goes after the others: that it is tried again gives nobody a reason to look for what is more urgent.
  await holder.enqueue({ ...under('k', 100, ['late'])[0]!, agentType: 'other' });
  const late = (await holder.dequeue({ agentType: 'other' }))!;
  await holder.dequeue();
  await holder.settle(late, { status: 'failed', error: new RateLimitError('429', { retryAfterMs: 60_000 }) });
  expect((await holder.dequeueMany(9)).map(({ id }) => id)).toEqual(['free']);
  const { blockers } = await holder.explain('b');
  expect(blockers).toMatchObject([{ code: 'KEY_CLOSED', key: 'k' }]);
});

/** Two nodes that hold tasks of the key, and a queue that holds nothing; each has one task under it. */
async function holdersOf(key: string, flushMs = 0) {
  const at = { url: redis.url, prefix: redis.prefix() };
  const nodes = [
    new HybridTaskQueue({ ...at, prefetchTasksMin: 20, flushMs }),
    new HybridTaskQueue({ ...at, prefetchTasksMin: 20, flushMs }),
  ] as const;
  const queues = [...nodes, new RedisTaskQueue(at)] as const;
  opened.push(...queues);
  const ids = Array.from({ length: 60 }, (_, n) => `t${n}`);
  await nodes[0].enqueueMany(under(key, 100, ids));
  const tasks = [];
  for (const queue of queues) tasks.push((await queue.dequeue({}, { start: true }))!);
  expect((await queues[2].limits([key]))[0]!.used).toBeGreaterThan(20);
  return { nodes, queues, tasks };
}

const HOW = {
  'a lower max that comes with a task': (queue: RedisTaskQueue) =>
    queue.enqueueMany(under('k', 1, ['new1', 'new2'])),
  'setLimit with a lower max': (queue: RedisTaskQueue) => queue.setLimit('k', { max: 1 }),
  'the pause of a key': (queue: RedisTaskQueue) => queue.pause({ key: 'k' }),
  'a pause': (queue: RedisTaskQueue) => queue.pause(),
};

test.each(Object.entries(HOW).flatMap(([what, change]) => [0, 1, 2].map((by) => ({ what, change, by }))))(
  '$what by queue $by: nothing starts from then on, on any node',
  async ({ change, by }) => {
    const { queues } = await holdersOf('k');
    await change(queues[by]!);
    const late = await Promise.all(queues.map((queue) => queue.dequeueMany(5, {}, { start: true })));
    expect(late.flat().map(({ id }) => id)).toEqual([]);
    expect((await queues[2].limits(['k']))[0]!.used).toBe(3);
  },
);

test.each([0, 100].flatMap((flushMs) => [0, 1, 2].map((by) => ({ flushMs, by }))))(
  'a 429 told to queue $by with flushMs $flushMs: nothing starts from then on, on any node',
  async ({ flushMs, by }) => {
    const { queues, tasks } = await holdersOf('k', flushMs);
    const error = new RateLimitError('429', { retryAfterMs: 60_000 });
    await queues[by]!.settle(tasks[by]!, { status: 'failed', error });
    const late = await Promise.all(queues.map((queue) => queue.dequeueMany(5, {}, { start: true })));
    expect(late.flat().map(({ id }) => id)).toEqual([]);
    expect((await queues[2].limits(['k']))[0]!.used).toBe(2);
  },
);

test('a submission does not wait for long for a node that is silent, nor at all where it calls nothing back', async () => {
  const at = { url: redis.url, prefix: redis.prefix() };
  const connection = new RedisConnection(at);
  const silent = new RedisHoldingStore({ connection, prefix: at.prefix });
  const [plain, holder] = [new RedisTaskQueue(at), new HybridTaskQueue(at)];
  opened.push(plain, holder, silent, { close: async () => connection.close() });
  await plain.enqueueMany(under('k', 100, ['a', 'b', 'c']));
  const now = Date.now();
  const { records } = await silent.hold({
    node: 'silent',
    holdMs: 60_000,
    filter: null,
    limit: 2,
    last: null,
    now,
  });
  expect(records.map(({ id }) => id)).toEqual(['a', 'b']);
  // Who has given nothing back counts as one that was called back.
  await plain.enqueueMany(under('k', 2, ['d']));
  await plain.enqueueMany(under('new', 1, ['e']));
  expect(await silent.recalled()).toBe(0);
  for (const [i, queue] of [plain, holder].entries()) {
    await queue.enqueueMany(under('k', 1 - i, [`f${i}`]));
    expect(await silent.recalled()).toBe(1);
    expect((await plain.limits(['k']))[0]!.max).toBe(1 - i);
  }
});

test('the start is written with the settlement, and both are told in the history', async () => {
  const { holder, plain } = aPair();
  await submit(holder, ['a', 'b', 'c']);
  await holder.dequeue();
  const task = (await holder.dequeue({}, { start: true }))!;
  await holder.settle(task, { status: 'completed', result: 1 });
  const steps = (await plain.history(task.id)).map(({ from, to }) => `${from}>${to}`);
  expect(steps).toEqual(['null>pending', 'pending>in_progress', 'in_progress>completed']);
  expect(await plain.getTask(task.id)).toMatchObject({ status: 'completed', result: 1, version: 3 });
});

test('a settlement of a task with dependents releases them, for this node too', async () => {
  const { holder } = aPair();
  await holder.enqueueMany([
    { id: 'first', payload: {} },
    { id: 'second', payload: {}, dependsOn: ['first'], priority: 10 },
    { id: 'third', payload: {} },
    { id: 'fourth', payload: {} },
  ]);
  await holder.settle((await holder.dequeue())!, { status: 'completed' });
  expect((await holder.dequeue())?.id).toBe('second');
});

test('durability() tells for how long a settlement may be acknowledged before it is written', async () => {
  const queue = new HybridTaskQueue({ url: redis.url, prefix: redis.prefix(), flushMs: 250 });
  opened.push(queue);
  expect(await queue.durability()).toMatchObject({ flushMs: 250, waitReplicas: 0 });
  expect(() => new HybridTaskQueue({ url: redis.url, flushMs: -1 })).toThrow(/flushMs/);
});

test('the record of an effect is never late, and one that the store refused is not acknowledged', async () => {
  const at = { url: redis.url, prefix: redis.prefix() };
  const holder = new HybridTaskQueue({ ...at, flushMs: 60_000 });
  const plain = new RedisTaskQueue(at);
  opened.push(holder, plain);
  await holder.enqueue({ id: 'a', payload: {} });
  const task = (await holder.dequeue({}, { start: true }))!;
  const effect = { key: 'pay', state: 'started', starts: 1, startedAt: 1, attempt: 1 } as const;
  await holder.recordEffects(task, [effect]);
  expect((await plain.getTask('a'))?.effects).toEqual([effect]);
  await plain.cancel('a');
  await expect(holder.recordEffects(task, [{ ...effect, state: 'done' }])).rejects.toMatchObject({
    code: 'LEASE_LOST',
  });
});

test('who is woken by a submission that is on its way finds it', async () => {
  const connection = new RedisConnection({ url: redis.url });
  const store = new RedisHoldingStore({ connection, prefix: redis.prefix() });
  opened.push(store);
  const request = { node: 'n', holdMs: 30_000, filter: null, limit: 10, last: null };
  await store.insert([aRecord({ id: 'first' })], NOW);
  await store.hold({ ...request, now: NOW });
  const inserted = store.insert([aRecord({ id: 'a' })], NOW);
  const held = await store.hold({ ...request, now: NOW });
  expect(held.records).toMatchObject([{ id: 'a' }]);
  await inserted;
  connection.close();
});

test('who looks whenever something is told to be available finds a submission that takes several calls', async () => {
  for (const queue of [aPair().holder, aPair().plain]) {
    await queue.dequeue();
    let found = 0;
    queue.on('available', async () => {
      for (let tasks = 1; tasks > 0; found += tasks) tasks = (await queue.dequeueMany(1_000)).length;
    });
    await queue.enqueueMany(Array.from({ length: 1_200 }, () => ({ payload: {} })));
    // Long before anybody would look by itself.
    await expect.poll(() => found, { timeout: queue.pollMs! / 2 }).toBe(1_200);
  }
});

test('what a node did with held tasks is written once, however often it is sent; what somebody touched is left to apply', async () => {
  const prefix = redis.prefix();
  const on = (connection: RedisConnection) => {
    const store = new RedisHoldingStore({ connection, prefix });
    opened.push({ close: () => store.close().finally(() => connection.close()) });
    return store;
  };
  const store = on(new ForgetfulConnection({ url: redis.url }));
  const holder = on(new RedisConnection({ url: redis.url }));
  const ids = ['claimed', 'ended', 'linked', 'cancelled'];
  await store.insert(
    ids.map((id) => aRecord({ id })),
    NOW,
  );
  const { records } = await holder.hold({
    node: 'n',
    holdMs: 30_000,
    filter: null,
    limit: 9,
    last: null,
    now: NOW,
  });
  expect(records.map(({ id }) => id)).toEqual(ids);
  await store.insert(
    [aRecord({ id: 'next', dependsOn: [{ dependencyId: 'linked', on: 'success', condition: null }] })],
    NOW,
  );
  const cancel = { ...stateOf(records[3]!), status: 'cancelled' as const, completedAt: NOW };
  const off = { from: 'pending', to: 'cancelled', at: NOW } as const;
  await store.apply([{ id: 'cancelled', version: 1, next: cancel, event: off }], NOW);
  const claimed = { from: 'pending', to: 'assigned', at: NOW, worker: 'w' } as const;
  const ended = { from: 'assigned', to: 'completed', at: NOW, worker: 'w' } as const;
  const changes = records.map((identity, i) => {
    const next = { ...stateOf(identity), fence: 1 };
    const held = { ...next, status: 'assigned' as const, owner: 'w', leaseExpiresAt: NOW + 30_000 };
    const done = { ...next, status: 'completed' as const, startedAt: NOW, completedAt: NOW };
    const what = i === 0 ? { next: held, event: claimed } : { next: done, event: ended, claimed };
    return { id: identity.id, version: 1, identity, ...what };
  });
  const answers = await store.apply(changes, NOW);
  const statuses = answers.map((answer) => answer?.record.status);
  expect(statuses).toEqual(['assigned', 'completed', 'completed', undefined]);
  expect(answers[2]?.effects.released).toEqual(['next']);
  const read = await store.get(['claimed', 'ended', 'linked']);
  expect(read).toEqual(answers.slice(0, 3).map((each) => each?.record));
  expect((await store.history('ended')).map(({ to }) => to)).toEqual(['pending', 'assigned', 'completed']);
  const counts = { pending: 1, assigned: 1, completed: 2, cancelled: 1 };
  expect((await store.counts(NOW)).byStatus).toMatchObject(counts);
});
