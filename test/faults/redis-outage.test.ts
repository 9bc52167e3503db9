import { expect } from 'vitest';
import type { RedisServer } from '../redis/redis-server.ts';
import { auditQueue } from './audit.ts';
import { behindProxy, onRedis, REDIS_BACKENDS, type RedisBackend } from './on-redis.ts';
import { type Child, eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { TcpProxy } from './tcp-proxy.ts';

const OUTAGE_MS = scaled(2_000, 15_000);
/** Tasks that are running or waiting when Redis goes. */
const BEFORE = 30;
const SUBMIT_EVERY_MS = 150;
/** The promise is 2 s; the rest is for two busy cores. */
const ANSWERED_WITHIN_MS = 2_500;
const BACK_WITHIN_MS = 5_000;
const LATE_MAX_MS = 2_000;

interface Place {
  readonly server: RedisServer;
  readonly proxy: TcpProxy;
}

/** Each takes Redis away from everybody, and gives it back. */
const OUTAGES: Readonly<
  Record<string, readonly [take: (at: Place) => unknown, giveBack: (at: Place) => unknown]>
> = {
  'is killed and restarted': [({ server }) => server.kill9(), ({ server }) => server.restart()],
  'cannot be reached': [({ proxy }) => proxy.refuse(), ({ proxy }) => proxy.accept()],
  'is behind a black hole': [({ proxy }) => proxy.blackHole(), ({ proxy }) => proxy.heal()],
  'pauses its clients': [
    ({ server }) => server.ask('CLIENT', 'PAUSE', OUTAGE_MS, 'ALL'),
    // It goes on by itself; anybody may say so earlier.
    ({ server }) => server.ask('CLIENT', 'UNPAUSE'),
  ],
  'is read-only': [
    ({ server }) => server.ask('REPLICAOF', '127.0.0.1', 1),
    ({ server }) => server.ask('REPLICAOF', 'NO', 'ONE'),
  ],
  'is frozen': [({ server }) => server.pause(), ({ server }) => server.continue()],
};

/** Every outage for each backend only in the full size: they take seconds each. */
const SHORT_ON_HYBRID = ['is killed and restarted', 'is behind a black hole'];
const CASES = REDIS_BACKENDS.flatMap((backend) =>
  (backend === 'hybrid' ? scaled(SHORT_ON_HYBRID, Object.keys(OUTAGES)) : Object.keys(OUTAGES)).map(
    (outage) => [backend, outage] as const,
  ),
);

test.for(CASES)(
  'R04 (%s): Redis %s; everything answers, nobody restarts, and work goes on by itself',
  TEST_TIMEOUT,
  async ([backend, outage], { stage }) => {
    const at = await place(stage, backend);
    const [take, giveBack] = OUTAGES[outage]!;
    const calm = stage.queue({}, at.server.url);
    const queue = stage.queue();
    const busy = await stage.launch('queue-worker', { concurrency: 2 });
    const idle = await stage.launch('queue-worker', { concurrency: 1 });
    await queue.enqueueMany(
      Array.from({ length: BEFORE }, (_, n) => ({ id: `before-${n}`, payload: { ms: 100 } })),
    );
    await queue.enqueue({ id: 'due-meanwhile', payload: {}, delayMs: OUTAGE_MS / 2 });
    const dueAt = Date.now() + OUTAGE_MS + 1_000;
    await queue.enqueue({ id: 'due-later', payload: {}, runAt: dueAt });
    await eventually(
      () => stage.log({ phase: 'start' }).length > 2,
      10_000,
      () => 'nothing starts',
    );

    await take(at);
    const submitted = await submitMeanwhile(stage, queue);
    await giveBack(at);
    const backAt = Date.now();
    await eventually(
      () => stage.log({ phase: 'start' }).some((line) => line.at >= backAt),
      BACK_WITHIN_MS,
      () => 'no task started after it was back',
    );

    const submits = await Promise.all(submitted);
    expect(Math.max(...submits.map(({ ms }) => ms))).toBeLessThanOrEqual(ANSWERED_WITHIN_MS);
    for (const { id, code } of submits.filter((submit) => submit.code !== undefined)) {
      expect(code, id).toBe('STORE_UNAVAILABLE');
      await queue.enqueue({ id, payload: {} });
    }
    const ids = [...submits.map(({ id }) => id), 'due-meanwhile', 'due-later'];
    for (const id of ids)
      expect((await calm.waitFor(id, { timeoutMs: 20_000 })).status, id).toBe('completed');
    await eventually(
      async () =>
        (await calm.stats()).ready === 0 && (await calm.stats()).counts.completed === ids.length + BEFORE,
      20_000,
      () => 'tasks were left over',
    );
    const startOf = (id: string): number => stage.log({ id, phase: 'start' })[0]?.at ?? Number.NaN;
    expect(startOf('due-meanwhile') - backAt).toBeLessThanOrEqual(BACK_WITHIN_MS);
    expect(startOf('due-later') - Math.max(dueAt, backAt)).toBeLessThanOrEqual(LATE_MAX_MS);
    await auditQueue(calm);
    for (const worker of [busy, idle]) await expectCalm(worker);
  },
);

async function place(stage: Stage, backend: RedisBackend): Promise<Place> {
  const server = await onRedis(stage, backend, { appendonly: true, appendfsync: 'always' });
  const proxy = await behindProxy(stage, server);
  stage.queueOptions = { leaseMs: 3_000, sweepMs: 300, retry: { initialInterval: 50, maxInterval: 100 } };
  return { server, proxy };
}

interface Submit {
  readonly id: string;
  readonly ms: number;
  readonly code?: string;
}

/** Submits now and then while Redis is away, without waiting for the answers. */
async function submitMeanwhile(stage: Stage, queue: ReturnType<Stage['queue']>): Promise<Promise<Submit>[]> {
  const endsAt = performance.now() + OUTAGE_MS;
  const submits: Promise<Submit>[] = [];
  while (performance.now() < endsAt) {
    submits.push(submit(queue, `meanwhile-${submits.length}`));
    await moment(SUBMIT_EVERY_MS + stage.random.below(20));
  }
  return submits;
}

async function submit(queue: ReturnType<Stage['queue']>, id: string): Promise<Submit> {
  const from = performance.now();
  try {
    await queue.enqueue({ id, payload: {} });
    return { id, ms: performance.now() - from };
  } catch (error) {
    return { id, ms: performance.now() - from, code: (error as { code?: string }).code ?? String(error) };
  }
}

/** It lived through it all, told of nothing but that the store was away, and ends when it is asked to. */
async function expectCalm(worker: Child): Promise<void> {
  const codes = new Set(worker.said('error').map(({ code }) => code));
  codes.delete('STORE_UNAVAILABLE');
  expect([...codes], worker.name).toEqual([]);
  worker.kill('SIGTERM');
  expect(await worker.untilExit(), worker.name).toEqual({ code: 0, signal: null });
  expect(worker.stderr, worker.name).toBe('');
}
