import { describe, test } from 'vitest';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { MemoryTaskStore } from '../../src/queue/backends/memory/memory-task-store.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import { describeTaskQueue } from '../../src/testing/task-queue-conformance.ts';

describeTaskQueue(
  { describe, test },
  {
    name: 'memory',
    durable: false,
    shared: false,
    open: async () => ({
      queue: (options) => new MemoryTaskQueue(options),
      wrapped: (options, wrap) => new StoredTaskQueue(wrap(new MemoryTaskStore()), options),
      dispose: async () => {},
    }),
  },
);
