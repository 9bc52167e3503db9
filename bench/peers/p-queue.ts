import PQueue from 'p-queue';
import type { OpenQueue, QueueSide } from '../side.ts';
import { RESULT, type WorkItem } from '../work.ts';

/** p-queue: priorities in memory, nothing kept, no leases, no history. What can be had for nothing. */
export const pQueue: QueueSide = {
  tasksMax: () => 20_000,
  inMemory: true,
  open: async () => openPQueue(),
};

/** p-queue has no stored tasks: they wait in a paused queue, and processing lets it go. */
function openPQueue(): OpenQueue {
  const queue = new PQueue({ concurrency: 1, autoStart: false });
  const add = (item: WorkItem) => void queue.add(() => noOpHandler(item), { priority: item.priority });
  return {
    enqueue: async (item) => add(item),
    enqueueMany: async (items) => items.forEach(add),
    process: async (concurrency) => {
      queue.concurrency = concurrency;
      queue.start();
      await queue.onIdle();
      queue.pause();
    },
    consume: async () => ({ stop: async () => {} }),
    close: async () => queue.clear(),
  };
}

async function noOpHandler(_item: WorkItem): Promise<typeof RESULT> {
  return RESULT;
}
