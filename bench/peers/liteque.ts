import type { Database } from 'better-sqlite3';
import { buildDBClient, Runner, SqliteQueue } from 'liteque';
import { type Consumer, type OpenQueue, type QueueSide, share } from '../side.ts';
import { AGENT_TYPES, type AgentType, type WorkItem, type WorkPayload } from '../work.ts';

/** liteque as it comes: `synchronous=NORMAL`, one queue per type in one file, completed tasks are deleted. */
export const liteque: QueueSide = {
  tasksMax: () => 2_000,
  open: async (path) => openLiteque(path),
};

type Lanes = ReadonlyMap<AgentType, CountingQueue>;

/** Tells when a completion is stored, which the runner's own callbacks announce too early. */
class CountingQueue extends SqliteQueue<WorkPayload> {
  onStored: () => void = () => {};

  override async finalize(...args: Parameters<SqliteQueue<WorkPayload>['finalize']>): Promise<void> {
    await super.finalize(...args);
    this.onStored();
  }
}

function openLiteque(path: string): OpenQueue {
  const db = buildDBClient(path, { runMigrations: true });
  allowAsyncTransactions(db);
  const options = { defaultJobArgs: { numRetries: 3 }, keepFailedJobs: true };
  const lanes: Lanes = new Map(AGENT_TYPES.map((type) => [type, new CountingQueue(type, db, options)]));
  return {
    enqueue: (item) => enqueue(lanes, item),
    process: (concurrency, tasks) => processAll(lanes, concurrency, tasks),
    consume: async (onStart) => startRunners([...lanes.values()], AGENT_TYPES.length, onStart),
    close: async () => {},
  };
}

/**
 * liteque claims inside a transaction with an async function, which better-sqlite3 12 refuses. It is run as
 * older versions ran it: committed as soon as the function has returned its promise.
 */
function allowAsyncTransactions(db: object): void {
  const { client } = (db as { session: { client: Database } }).session;
  const transaction = (work: (...args: unknown[]) => unknown) => {
    const run = (...args: unknown[]) => {
      client.exec('BEGIN');
      try {
        return work(...args);
      } finally {
        client.exec('COMMIT');
      }
    };
    return Object.assign(run, { deferred: run, immediate: run, exclusive: run });
  };
  Object.assign(client, { transaction });
}

async function enqueue(lanes: Lanes, item: WorkItem): Promise<void> {
  // liteque takes the smallest number first.
  await lanes.get(item.agentType)?.enqueue(item.payload, { priority: 10 - item.priority });
}

async function processAll(lanes: Lanes, concurrency: number, tasks: number): Promise<void> {
  const queues = [...lanes.values()];
  if (concurrency >= queues.length) return processLanes(queues, concurrency, tasks);
  for (const queue of queues) await processLanes([queue], concurrency, tasks / queues.length);
}

async function processLanes(queues: CountingQueue[], concurrency: number, tasks: number): Promise<void> {
  let stored = 0;
  await new Promise<void>((resolve) => {
    const onStored = () => {
      stored += 1;
      if (stored === tasks) resolve();
    };
    for (const queue of queues) queue.onStored = onStored;
    startRunners(queues, concurrency, () => {});
  });
}

/** Runners are told to stop at once when the caller is done; the round's process ends soon after. */
function startRunners(queues: CountingQueue[], concurrency: number, onStart: () => void): Consumer {
  const runners = queues.map((queue, lane) => {
    const options = {
      pollIntervalMs: 1_000,
      timeoutSecs: 60,
      concurrency: share(concurrency, queues.length, lane),
    };
    return new Runner(queue, { run: async () => onStart() }, options);
  });
  for (const runner of runners) void runner.run();
  return {
    stop: async () => {
      for (const runner of runners) runner.stop();
    },
  };
}
