import { expect } from 'vitest';
import type { RedisServer } from '../redis/redis-server.ts';
import { until } from '../redis/until.ts';
import { auditQueue } from './audit.ts';
import { onRedis } from './on-redis.ts';
import type { Child } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const ROUNDS = scaled(4, 20);
const PROMPTLY_MS = 2_000;
const LEASE_MS = 2_000;
const STANDBY = '{jotty}:standby';

test(
  'a worker that stood by and was killed is passed over: its task starts elsewhere at once',
  TEST_TIMEOUT,
  async ({ stage }) => {
    const server = await onRedis(stage, 'redis');
    const queue = stage.queue({ sweepMs: 60_000 });
    await stage.launch('queue-worker');
    for (let round = 0; round < ROUNDS; round++) {
      const victim = await lastToStandBy(stage, server, 2);
      // No time for a word to Redis; what the kernel closes is all it hears.
      victim.kill('SIGKILL');
      await victim.untilExit();
      await runPromptly(stage, queue, `round-${round}`);
    }
    for (const { crashes } of (await auditQueue(queue)).tasks.values()) expect(crashes).toBe(0);
  },
);

test(
  'a worker that stood by and is frozen loses its task to another, uncharged, and cannot do it as well',
  TEST_TIMEOUT,
  async ({ stage }) => {
    const server = await onRedis(stage, 'redis');
    stage.queueOptions = { leaseMs: LEASE_MS, sweepMs: 60_000 };
    const queue = stage.queue();
    const worker = await stage.launch('queue-worker');
    for (let round = 0; round < scaled(2, 10); round++) {
      const id = `round-${round}`;
      const frozen = await lastToStandBy(stage, server, 2);
      frozen.kill('SIGSTOP');
      const from = performance.now();
      await queue.enqueue({ id, payload: {} });
      expect((await queue.waitFor(id, { timeoutMs: LEASE_MS })).status).toBe('completed');
      expect(performance.now() - from).toBeLessThan(LEASE_MS);
      frozen.kill('SIGCONT');
      frozen.kill('SIGTERM');
      expect((await frozen.untilExit()).code).toBe(0);
      expect(stage.log({ id, phase: 'start' })).toHaveLength(1);
    }
    const { tasks, histories } = await auditQueue(queue);
    for (const [id, { crashes, retryCount }] of tasks) {
      expect([crashes, retryCount]).toEqual([0, 0]);
      expect(histories.get(id)?.filter(({ to }) => to === 'completed')).toHaveLength(1);
    }
    worker.kill('SIGTERM');
    expect((await worker.untilExit()).code).toBe(0);
  },
);

/** Launches one that stands by after all the others, and so is asked first. */
async function lastToStandBy(stage: Stage, server: RedisServer, count: number): Promise<Child> {
  const standing = async () => (await server.ask<string[]>('ZRANGE', STANDBY, 0, -1)).length;
  await until(async () => (await standing()) === count - 1, 'the other does not stand by');
  const child = await stage.launch('queue-worker');
  await until(async () => (await standing()) === count, 'it does not stand by');
  return child;
}

async function runPromptly(stage: Stage, queue: ReturnType<Stage['queue']>, id: string): Promise<void> {
  const from = performance.now();
  await queue.enqueue({ id, payload: {} });
  expect((await queue.waitFor(id, { timeoutMs: PROMPTLY_MS })).status).toBe('completed');
  expect(performance.now() - from).toBeLessThan(PROMPTLY_MS);
  expect(stage.log({ id, phase: 'start' })).toHaveLength(1);
}
