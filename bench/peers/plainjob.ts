import Database from 'better-sqlite3';
import { better, defineQueue, defineWorker } from 'plainjob';
import { type Consumer, type OpenQueue, type QueueSide, share } from '../side.ts';
import { AGENT_TYPES, type AgentType, type WorkItem } from '../work.ts';

/**
 * plainjob as it comes: `synchronous=NORMAL`, so what it acknowledged can be lost with the power.
 * It has no priorities and no results, and a worker serves one type with one task at a time.
 */
export const plainjob: QueueSide = {
  tasksMax: () => 20_000,
  bulkByType: true,
  open: async (path) => openPlainjob(path),
};

type Plainjob = ReturnType<typeof defineQueue>;

const silent = { error() {}, warn() {}, info() {}, debug() {} };

function openPlainjob(path: string): OpenQueue {
  const queue = defineQueue({ connection: better(new Database(path)), logger: silent });
  return {
    enqueue: async (item) => queue.add(item.agentType, item.payload),
    enqueueMany: async (items) => addMany(queue, items),
    claim: async () => claim(queue),
    process: (concurrency, tasks) => processAll(queue, concurrency, tasks),
    consume: async (onStart) => startWorkers(queue, AGENT_TYPES.length, { onStart }),
    close: async () => queue.close(),
  };
}

/** All items are of one type, as `bulkByType` asks. */
function addMany(queue: Plainjob, items: readonly WorkItem[]): void {
  const type = items[0]?.agentType;
  if (type === undefined) return;
  queue.addMany(
    type,
    items.map((item) => item.payload),
  );
}

let claims = 0;

/** The types in turn, as four workers would. */
function claim(queue: Plainjob): unknown {
  claims += 1;
  const claimed = queue.getAndMarkJobAsProcessing(AGENT_TYPES[claims % AGENT_TYPES.length] ?? 'research');
  return claimed && queue.getJobById(claimed.id);
}

async function processAll(queue: Plainjob, concurrency: number, tasks: number): Promise<void> {
  if (concurrency >= AGENT_TYPES.length) return processTypes(queue, AGENT_TYPES, concurrency, tasks);
  for (const type of AGENT_TYPES) await processTypes(queue, [type], concurrency, tasks / AGENT_TYPES.length);
}

async function processTypes(
  queue: Plainjob,
  types: readonly AgentType[],
  concurrency: number,
  tasks: number,
): Promise<void> {
  let done = 0;
  const { promise, resolve } = deferred();
  const onDone = () => {
    done += 1;
    if (done === tasks) resolve();
  };
  const workers = startWorkers(queue, concurrency, { onDone, types });
  await promise;
  await workers.stop();
}

interface WorkerWishes {
  readonly onStart?: () => void;
  readonly onDone?: () => void;
  readonly types?: readonly AgentType[];
}

function startWorkers(queue: Plainjob, count: number, wishes: WorkerWishes): Consumer {
  const { types = AGENT_TYPES, onStart, onDone } = wishes;
  const workers = types.flatMap((type, lane) =>
    Array.from({ length: share(count, types.length, lane) }, () =>
      defineWorker(type, async () => onStart?.(), {
        queue,
        logger: silent,
        ...(onDone && { onCompleted: onDone }),
      }),
    ),
  );
  for (const worker of workers) void worker.start();
  return {
    stop: async () => {
      await Promise.all(workers.map((worker) => worker.stop()));
    },
  };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
