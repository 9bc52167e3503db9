import { describe, expect } from 'vitest';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import { RedisCluster } from '../redis/redis-cluster.ts';
import { until } from '../redis/until.ts';
import { PAIR_NAME, WatchedPair } from '../redis/watched-pair.ts';
import { auditQueue, lineage } from './audit.ts';
import { REDIS_BACKENDS } from './on-redis.ts';
import { type Child, eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';
import { TcpProxy } from './tcp-proxy.ts';

const TASKS = scaled(100, 2_000);
const GRAPHS = scaled(12, 100);
const LEASE = { leaseMs: 1_000, sweepMs: 200, retry: { initialInterval: 50 } };
const DONE_WITHIN_MS = 30_000;

describe.each(REDIS_BACKENDS)('several Redis servers (%s)', (backend) => {
  test('a cluster: work goes on while the slot of the queue moves', TEST_TIMEOUT, async ({ stage }) => {
    const cluster = await RedisCluster.start();
    stage.atEnd(() => cluster.stop());
    stage.backend = backend;
    stage.database = `cluster:${cluster.startNodes.map(({ port }) => port)}`;
    stage.queueOptions = LEASE;
    const queue = stage.queue();
    const workers = await Promise.all([stage.launch('queue-worker'), stage.launch('queue-worker')]);

    const slot = await cluster.masters[0]!.ask<number>('CLUSTER', 'KEYSLOT', '{jotty}:c');
    for (const [round, master] of cluster.masters.entries()) {
      const ids = await submit(queue, `round-${round}`, 10);
      await eventually(
        () => stage.log({ phase: 'start' }).some(({ id }) => id === ids[0]),
        10_000,
        () => 'nothing starts',
      );
      await cluster.move(slot, master);
      await submit(queue, `moved-${round}`, 2);
    }
    await expectAllDone(queue, 6 * TASKS);
    for (const worker of workers) await expectWell(worker);
  });

  // They hold for both; the short size asks one.
  if (backend !== scaled('redis', backend)) return;

  test('a cluster: graphs leave their checkpoints all over it', TEST_TIMEOUT, async ({ stage }) => {
    const cluster = await RedisCluster.start();
    stage.atEnd(() => cluster.stop());
    stage.backend = backend;
    stage.database = `cluster:${cluster.startNodes.map(({ port }) => port)}`;
    const queue = stage.queue();
    const worker = await stage.launch('graph-worker');
    const ids = Array.from({ length: GRAPHS }, (_, n) => `graph-${n}`);
    await queue.enqueueMany(ids.map((id) => ({ id, agent: 'steps', payload: { ms: 1 } })));
    for (const id of ids) {
      expect((await queue.waitFor(id, { timeoutMs: DONE_WITHIN_MS })).status, id).toBe('completed');
      expect((await lineage(queue, id)).length, id).toBeGreaterThan(3);
    }
    const sizes = await Promise.all(cluster.masters.map((master) => master.ask<number>('DBSIZE')));
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    await expectWell(worker);
  });

  test('a cluster: a master dies, its replica takes over', TEST_TIMEOUT, async ({ stage }) => {
    const cluster = await RedisCluster.start({ replicas: true });
    stage.atEnd(() => cluster.stop());
    stage.backend = backend;
    stage.database = `cluster:${cluster.startNodes.map(({ port }) => port)}`;
    stage.queueOptions = LEASE;
    const queue = stage.queue();
    const workers = await Promise.all([stage.launch('queue-worker'), stage.launch('queue-worker')]);
    await submit(queue, 'before', 20);
    const slot = await cluster.masters[0]!.ask<number>('CLUSTER', 'KEYSLOT', '{jotty}:c');
    const master = await cluster.holderOf(slot);
    await replicated(master);
    await master.kill9();
    await insist(() => submit(queue, 'after', 2));
    await expectAllDone(queue, 2 * TASKS);
    for (const worker of workers) await expectWell(worker);
  });

  test('sentinels: the master dies, the replica takes over', TEST_TIMEOUT, async ({ stage }) => {
    const pair = await WatchedPair.start(1);
    stage.atEnd(() => pair.stop());
    stage.backend = backend;
    stage.database = `sentinel:${PAIR_NAME}:${pair.startNodes.map(({ port }) => port)}`;
    stage.queueOptions = LEASE;
    const queue = stage.queue();
    const workers = await Promise.all([stage.launch('queue-worker'), stage.launch('queue-worker')]);
    await submit(queue, 'before', 20);
    await replicated(pair.master);
    await pair.master.kill9();
    await insist(() => submit(queue, 'after', 2));
    await expectAllDone(queue, 2 * TASKS);
    for (const worker of workers) await expectWell(worker);
  });

  test(
    'R24: a replica that had missed something takes over; what is lost can be submitted again, and ends once',
    TEST_TIMEOUT,
    async ({ stage }) => {
      const pair = await WatchedPair.start(0);
      stage.atEnd(() => pair.stop());
      const address = await TcpProxy.start(pair.master.port, stage.random);
      stage.atEnd(() => address.stop());
      stage.backend = backend;
      stage.database = address.url;
      stage.queueOptions = LEASE;
      const queue = stage.queue();
      await submit(queue, 'kept', 1);
      await replicated(pair.master);
      // From here on it hears of nothing: its link is broken.
      await pair.promote();
      const missed = await submit(queue, 'missed', 1);
      await pair.master.kill9();
      address.leadTo(pair.replica.port);

      const workers = await Promise.all([stage.launch('queue-worker'), stage.launch('queue-worker')]);
      await eventually(
        async () => (await queue.getTask(missed[0]!).catch(() => undefined)) === null,
        10_000,
        () => 'nothing was missed, so that nothing is tested',
      );
      await insist(() => submit(queue, 'missed', 1));
      await insist(() => submit(queue, 'kept', 1));
      await expectAllDone(queue, 2 * TASKS);
      for (const worker of workers) await expectWell(worker);
    },
  );
});

test.for(REDIS_BACKENDS)(
  'R24: with WAIT nothing acknowledged is lost when a replica that had missed something takes over (%s)',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    const pair = await WatchedPair.start(0);
    stage.atEnd(() => pair.stop());
    stage.backend = backend;
    stage.database = pair.master.url;
    const enqueuer = await stage.launch('enqueuer', {
      queue: { durability: { atLeast: 'none', waitReplicas: 1 } },
      more: { inFlight: 10, patient: true },
    });
    const acknowledged = (): string[] => enqueuer.said('acknowledged').flatMap(({ ids }) => ids as string[]);
    await eventually(
      () => acknowledged().length > 200,
      10_000,
      () => 'nothing is acknowledged',
    );
    await pair.promote();
    await enqueuer.until('refused', { code: 'STORE_UNAVAILABLE' });
    await enqueuer.destroy();
    await pair.master.kill9();

    const { tasks } = await auditQueue(stage.queue({}, pair.replica.url));
    expect(acknowledged().filter((id) => !tasks.has(id))).toEqual([]);
  },
);

/** The same ids with the same content each time. */
async function submit(queue: StoredTaskQueue, name: string, ms: number): Promise<string[]> {
  const ids = Array.from({ length: TASKS }, (_, n) => `${name}-${n}`);
  const half = TASKS / 2;
  const task = (id: string) => ({ id, payload: { ms } });
  await queue.enqueueMany(ids.slice(0, half).map(task));
  await Promise.all(ids.slice(half).map((id) => queue.enqueue(task(id))));
  return ids;
}

/** Submits are repeated until they are acknowledged, as an app does whose store is away for a moment. */
async function insist(work: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + DONE_WITHIN_MS;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      expect(code, String(error)).toBe('STORE_UNAVAILABLE');
      if (performance.now() > deadline) throw error;
    }
  }
}

async function replicated(master: { ask<T>(...words: [string, ...number[]]): Promise<T> }): Promise<void> {
  const received = async () => (await master.ask<number>('WAIT', 1, 1_000)) === 1;
  await until(received, 'the replica did not receive everything');
}

async function expectAllDone(queue: StoredTaskQueue, count: number): Promise<void> {
  await eventually(
    async () => (await queue.stats().catch(() => undefined))?.counts.completed === count,
    DONE_WITHIN_MS,
    () => 'not all were completed',
  );
  const { histories } = await auditQueue(queue);
  for (const [id, history] of histories)
    expect(
      history.filter(({ to }) => to === 'completed'),
      id,
    ).toHaveLength(1);
}

/** It met nothing worse than a store that was away. */
async function expectWell(worker: Child): Promise<void> {
  const codes = new Set(worker.said('error').map(({ code, message }) => code ?? message));
  codes.delete('STORE_UNAVAILABLE');
  expect([...codes], worker.name).toEqual([]);
  worker.kill('SIGTERM');
  expect(await worker.untilExit(), worker.name).toEqual({ code: 0, signal: null });
  expect(worker.stderr, worker.name).toBe('');
}
