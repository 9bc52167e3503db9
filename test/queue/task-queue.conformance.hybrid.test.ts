import { describe, test } from 'vitest';
import {
  HybridTaskStore,
  type HybridTaskStoreOptions,
} from '../../src/queue/backends/hybrid/hybrid-task-store.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import type { TaskQueueOptions } from '../../src/queue/task-queue.ts';
import type { TaskStore } from '../../src/queue/task-store.ts';
import { describeTaskQueue } from '../../src/testing/task-queue-conformance.ts';
import { HoldingMemory, RemoteMemory } from './backends/holding-memory.ts';

/** As with the stores: on demand, or always; then only one process sees strict order. */
const WAYS: Record<string, { shared: boolean; options: Partial<HybridTaskStoreOptions> }> = {
  'hybrid over memory': { shared: true, options: {} },
  'hybrid over memory, always holding tasks ahead': { shared: false, options: { prefetchTasksMin: 5 } },
};

for (const [name, { shared, options }] of Object.entries(WAYS)) {
  describeTaskQueue(
    { describe, test },
    {
      name,
      durable: true,
      shared,
      async open() {
        const storage = new HoldingMemory();
        let nodes = 0;
        const open = (queueOptions: TaskQueueOptions, wrap: (store: TaskStore) => TaskStore) => {
          const { leaseMs = 30_000 } = queueOptions;
          const node = `n${nodes++}`;
          const store = new HybridTaskStore(new RemoteMemory(storage), { leaseMs, node, ...options });
          return new StoredTaskQueue(wrap(store), queueOptions);
        };
        return {
          queue: (queueOptions) => open(queueOptions, (store) => store),
          wrapped: open,
          dispose: async () => {},
        };
      },
    },
  );
}
