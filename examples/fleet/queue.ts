import { RedisTaskQueue } from 'jotty/queue';

/** The queue that all processes share. The short lease shows a killed worker's tasks taken over within seconds. */
export function openQueue({ REDIS_URL = 'redis://127.0.0.1:6379' }: NodeJS.ProcessEnv): RedisTaskQueue {
  return new RedisTaskQueue({
    url: REDIS_URL,
    prefix: 'fleet',
    leaseMs: 2_000,
    sweepMs: 500,
    // The example's Redis forgets all when it ends, which is what it is for; in production demand more.
    durability: { atLeast: 'none' },
  });
}
