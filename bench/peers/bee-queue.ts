import Queue from 'bee-queue';
import { emptyRedis, meter, type Place } from '../private-redis.ts';
import type { Consumer, OpenQueue, QueueSide } from '../side.ts';
import { RESULT, type WorkItem } from '../work.ts';

/** bee-queue as it comes: no priorities. Events for other processes and kept job objects, which nobody here uses, are off. */
export const beeQueue: QueueSide = {
  tasksMax: () => 20_000,
  wakes: true,
  open: async () => openBeeQueue({ url: (await emptyRedis()).url }),
  join: openBeeQueue,
};

const IDLE_CONSUMERS = 10;

async function openBeeQueue(place: Place): Promise<OpenQueue> {
  const settings = {
    redis: { url: place.url },
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
  };
  const queue = new Queue<WorkItem>('tasks', { ...settings, isWorker: false });
  const worker = new Queue<WorkItem>('tasks', settings);
  await Promise.all([queue.ready(), worker.ready()]);
  return {
    enqueue: (item) => queue.createJob(item).save(),
    enqueueMany: (items) => queue.saveAll(items.map((item) => queue.createJob(item))),
    process: (concurrency, tasks) => processAll(worker, concurrency, tasks),
    consume: async (onStart) => consume(worker, onStart),
    share: (concurrency, onDone) => {
      worker.on('succeeded', onDone);
      worker.process(concurrency, async () => RESULT);
    },
    place,
    meter: () => meter(place),
    close: async () => {
      await Promise.all([queue.close(0), worker.close(0)]).catch(() => {});
    },
  };
}

function processAll(worker: Queue<WorkItem>, concurrency: number, tasks: number): Promise<void> {
  let left = tasks;
  return new Promise((resolve, reject) => {
    worker.on('failed', (_job, error) => reject(error));
    worker.on('succeeded', () => {
      left -= 1;
      if (left === 0) resolve();
    });
    worker.process(concurrency, async () => RESULT);
  });
}

function consume(worker: Queue<WorkItem>, onStart: () => void): Consumer {
  worker.process(IDLE_CONSUMERS, async () => onStart());
  return { stop: async () => {} };
}
