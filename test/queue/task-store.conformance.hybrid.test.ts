import { describe, test } from 'vitest';
import type { HybridTaskStore } from '../../src/queue/backends/hybrid/hybrid-task-store.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { waysOverMemory, waysOverRedis } from './backends/hybrid-storage.ts';

const redis = sharedRedis();

for (const way of [...waysOverMemory(), ...waysOverRedis(redis)]) {
  describeTaskStore(
    { describe, test },
    {
      name: way.name,
      durable: true,
      shared: way.shared,
      async open() {
        const storage = way.open();
        const stores: HybridTaskStore[] = [];
        const second = async () => {
          stores.push(storage.store(30_000));
          return stores.at(-1)!;
        };
        const closeAll = async () => {
          await Promise.all(stores.splice(0).map((store) => store.close()));
        };
        const reopen = async () => {
          await closeAll();
          return second();
        };
        const dispose = async () => {
          await closeAll();
          storage.dispose();
        };
        return { store: await second(), second, reopen, dispose };
      },
    },
  );
}
