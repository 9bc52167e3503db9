import { describe, test } from 'vitest';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { describeTaskQueue } from '../../src/testing/task-queue-conformance.ts';
import { redisClock } from '../redis/redis-clock.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { waysOverMemory, waysOverRedis } from './backends/hybrid-storage.ts';

const redis = sharedRedis();
const memory = waysOverMemory();

for (const way of [...memory, ...waysOverRedis(redis)]) {
  describeTaskQueue(
    { describe, test },
    {
      name: way.name,
      durable: true,
      shared: way.shared,
      clock: () => (memory.includes(way) ? new FakeClock() : redisClock(redis)),
      async open() {
        const storage = way.open();
        const leaseMs = 30_000;
        return {
          queue: (options) => new StoredTaskQueue(storage.store(options.leaseMs ?? leaseMs), options),
          wrapped: (options, wrap) =>
            new StoredTaskQueue(wrap(storage.store(options.leaseMs ?? leaseMs)), options),
          dispose: async () => storage.dispose(),
        };
      },
    },
  );
}
