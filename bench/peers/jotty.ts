import { MemoryTaskQueue, SQLiteTaskQueue, type TaskQueue } from '../../dist/queue/index.js';
import { drain } from '../drain.ts';
import type { Consumer, OpenQueue, QueueSide } from '../side.ts';
import type { WorkItem } from '../work.ts';

/** Jotty on SQLite as it ships: history, fences, checks, `synchronous=FULL`. */
export const jotty: QueueSide = {
  tasksMax: () => 20_000,
  open: async (path) => openJotty(new SQLiteTaskQueue({ path })),
};

/** Jotty in memory, with the same history, fences and checks. */
export const jottyMemory: QueueSide = {
  tasksMax: () => 20_000,
  inMemory: true,
  open: async () => openJotty(new MemoryTaskQueue()),
};

export function openJotty(queue: TaskQueue): OpenQueue {
  return {
    enqueue: (item) => queue.enqueue(newTask(item)),
    enqueueMany: (items) => queue.enqueueMany(items.map(newTask)),
    claim: () => queue.dequeue(),
    process: (concurrency, tasks) => drain(queue, concurrency, tasks),
    consume: async (onStart) => consume(queue, onStart),
    close: () => queue.close(),
  };
}

function newTask({ agentType, priority, payload }: WorkItem) {
  return { agentType, priority: priority as 5, payload: { ...payload } };
}

/** The smallest worker there is: woken, claims straight into the start, settles. */
function consume(queue: TaskQueue, onStart: () => void): Consumer {
  const off = queue.on('available', () => void takeOne());
  const takeOne = async () => {
    const task = await queue.dequeue({}, { start: true });
    if (task === null) return;
    onStart();
    await queue.settle(task, { status: 'completed' });
  };
  return { stop: async () => off() };
}
