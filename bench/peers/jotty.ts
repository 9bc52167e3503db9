import type { TaskQueue } from '../../dist/queue/index.js';
import { drain, drainShared } from '../drain.ts';
import { meter, type Place } from '../private-redis.ts';
import type { Consumer, OpenQueue, QueueSide } from '../side.ts';
import { emptyPlace, openTaskQueue } from '../task-queues.ts';
import type { WorkItem } from '../work.ts';

/** Jotty on SQLite as it ships: history, fences, checks, `synchronous=FULL`. */
export const jotty = jottySide('jotty');

/** Jotty in memory, with the same history, fences and checks. */
export const jottyMemory: QueueSide = { ...jottySide('jotty-memory'), inMemory: true };

/** Jotty on Redis as it ships, and with the deques in front of it. */
export const jottyRedis = jottySide('redis');
export const jottyHybrid = jottySide('hybrid');

function jottySide(side: string): QueueSide {
  const join = async (place: Place) => openJotty(openTaskQueue(side, place), place);
  return {
    tasksMax: () => 20_000,
    wakes: true,
    join,
    open: async (path) => join(await emptyPlace(side, path)),
  };
}

export function openJotty(queue: TaskQueue, place: Place): OpenQueue {
  return {
    enqueue: (item) => queue.enqueue(newTask(item)),
    enqueueMany: (items) => queue.enqueueMany(items.map(newTask)),
    claim: () => queue.dequeue(),
    process: (concurrency, tasks) => drain(queue, concurrency, tasks),
    consume: async (onStart) => consume(queue, onStart),
    share: (concurrency, onDone) => void drainShared(queue, concurrency, onDone),
    place,
    ...(place.url !== undefined && { meter: () => meter(place) }),
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
