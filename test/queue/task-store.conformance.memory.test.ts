import { describe, test } from 'vitest';
import { MemoryTaskStore } from '../../src/queue/backends/memory/memory-task-store.ts';
import { describeTaskStore } from '../../src/testing/task-store-conformance.ts';

describeTaskStore(
  { describe, test },
  {
    name: 'memory',
    durable: false,
    shared: false,
    open: async () => {
      const store = new MemoryTaskStore();
      return { store, dispose: () => store.close() };
    },
  },
);
