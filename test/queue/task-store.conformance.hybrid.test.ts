import { describe, test } from 'vitest';
import {
  HybridTaskStore,
  type HybridTaskStoreOptions,
} from '../../src/queue/backends/hybrid/hybrid-task-store.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';
import { HoldingMemory, RemoteMemory } from './backends/holding-memory.ts';

/** Two ways to use it: tasks are held ahead on demand, or always; then only one process sees strict order. */
const WAYS: Record<string, { shared: boolean; options: Partial<HybridTaskStoreOptions> }> = {
  'hybrid over memory': { shared: true, options: {} },
  'hybrid over memory, always holding tasks ahead': { shared: false, options: { prefetchTasksMin: 5 } },
};

for (const [name, { shared, options }] of Object.entries(WAYS)) {
  describeTaskStore(
    { describe, test },
    {
      name,
      durable: true,
      shared,
      async open() {
        const storage = new HoldingMemory();
        const stores: HybridTaskStore[] = [];
        let nodes = 0;
        const second = async () => {
          const remote = new RemoteMemory(storage);
          stores.push(new HybridTaskStore(remote, { leaseMs: 30_000, node: `n${nodes++}`, ...options }));
          return stores.at(-1)!;
        };
        const closeAll = async () => {
          await Promise.all(stores.splice(0).map((store) => store.close()));
        };
        const reopen = async () => {
          await closeAll();
          return second();
        };
        return { store: await second(), second, reopen, dispose: closeAll };
      },
    },
  );
}
