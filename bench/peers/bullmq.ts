import { Queue, Worker } from 'bullmq';
import { emptyRedis, meter, type Place } from '../private-redis.ts';
import type { Consumer, OpenQueue, QueueSide } from '../side.ts';
import { RESULT, type WorkItem, type WorkPayload } from '../work.ts';

/** BullMQ as it comes, with priorities; the agent type is the job's name. Completed jobs are kept, as it does. */
export const bullmq: QueueSide = {
  tasksMax: () => 20_000,
  wakes: true,
  open: async () => openBullMQ({ url: (await emptyRedis()).url }),
  join: openBullMQ,
};

const NAME = 'tasks';
const IDLE_CONSUMERS = 10;

async function openBullMQ(place: Place): Promise<OpenQueue> {
  const connection = { url: place.url ?? '', maxRetriesPerRequest: null };
  const queue = new Queue<WorkPayload>(NAME, { connection });
  let onStart: () => void = () => {};
  const handler = async () => {
    onStart();
    return RESULT;
  };
  const worker = new Worker<WorkPayload>(NAME, handler, { connection, autorun: false });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  return {
    enqueue: (item) => queue.add(...job(item)),
    enqueueMany: (items) =>
      queue.addBulk(
        items.map((item) => {
          const [name, data, opts] = job(item);
          return { name, data, opts };
        }),
      ),
    claim: () => worker.getNextJob('bench', { block: false }),
    process: (concurrency, tasks) => processAll(worker, concurrency, tasks),
    consume: async (tell) => {
      onStart = tell;
      return consume(worker);
    },
    share: (concurrency, onDone) => {
      worker.concurrency = concurrency;
      worker.on('completed', onDone);
      void worker.run();
    },
    place,
    meter: () => meter(place),
    close: async () => {
      await worker.close(true);
      await queue.close();
    },
  };
}

/** BullMQ takes the smallest number first, and what has no priority before all. */
function job({ agentType, payload, priority }: WorkItem): [string, WorkPayload, { priority: number }] {
  return [agentType, payload, { priority: 11 - priority }];
}

function processAll(worker: Worker, concurrency: number, tasks: number): Promise<void> {
  let left = tasks;
  worker.concurrency = concurrency;
  return new Promise((resolve, reject) => {
    worker.on('failed', (_job, error) => reject(error));
    worker.on('completed', () => {
      left -= 1;
      if (left === 0) resolve();
    });
    worker.run().catch(reject);
  });
}

function consume(worker: Worker): Consumer {
  worker.concurrency = IDLE_CONSUMERS;
  void worker.run();
  return { stop: () => worker.close(true) };
}
