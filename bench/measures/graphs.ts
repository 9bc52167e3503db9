import { join } from 'node:path';
import {
  Annotation,
  type BaseCheckpointSaver,
  END,
  MemorySaver,
  START,
  StateGraph,
} from '@langchain/langgraph';
import Database from 'better-sqlite3';
import { type Figures, inFlight, rate } from '../figures.ts';
import { emptyRedis, type Place } from '../private-redis.ts';
import type { Measure } from '../round.ts';

export const CONCURRENCY = 10;
const RUNS = 1_000;
const QUICK_RUNS = 100;
/** The code of LangGraph, the saver and the client is warm by then; before, one measures the compiler. */
const WARM_UP_RUNS = 200;

/** Runs per second of a graph with three trivial nodes, bare with each saver and through the queue. */
export const graphs: Measure = async ({ side, folder, quick }) => {
  const runs = quick ? QUICK_RUNS : RUNS;
  const path = join(folder, 'graphs.db');
  const perSecond =
    side in QUEUES
      ? await throughQueue(QUEUES[side] ?? side, path, runs)
      : await bareRuns(await saverOf(side, path), runs);
  return { runs: perSecond } satisfies Figures;
};

/** The sides that go through a queue, and which one. */
const QUEUES: Readonly<Record<string, string>> = {
  'jotty-queue': 'jotty',
  'redis-queue': 'redis',
  'hybrid-queue': 'hybrid',
};

async function saverOf(side: string, path: string): Promise<BaseCheckpointSaver | undefined> {
  switch (side) {
    case 'no-saver':
      return undefined;
    case 'memory-saver':
      return new MemorySaver();
    case 'official-saver': {
      const { SqliteSaver } = await import('@langchain/langgraph-checkpoint-sqlite');
      const database = new Database(path);
      database.pragma('journal_mode = WAL');
      database.pragma('synchronous = FULL');
      return new SqliteSaver(database);
    }
    case 'jotty-saver': {
      const { SQLiteSaver } = await import('../../dist/checkpoint/index.js');
      return new SQLiteSaver({ path });
    }
    case 'redis-saver':
      return redisSaver();
    case 'plain-redis-saver': {
      const { PlainRedisSaver } = await import('../peers/plain-redis-saver.ts');
      return new PlainRedisSaver((await emptyRedis()).url);
    }
    default:
      throw new Error(`expected a saver, got ${side}`);
  }
}

async function redisSaver(): Promise<BaseCheckpointSaver> {
  const savers = (await import('../../dist/checkpoint/index.js')) as unknown as Record<
    string,
    new (
      place: Place,
    ) => BaseCheckpointSaver
  >;
  if (savers.RedisSaver === undefined) throw new Error('expected a saver of this build, got RedisSaver');
  return new savers.RedisSaver({ url: (await emptyRedis()).url });
}

const State = Annotation.Root({
  goal: Annotation<string>,
  steps: Annotation<number>({ reducer: (sum, more) => sum + more, default: () => 0 }),
});

export function threeNodes(checkpointer?: BaseCheckpointSaver) {
  const step = async () => ({ steps: 1 });
  return new StateGraph(State)
    .addNode('first', step)
    .addNode('second', step)
    .addNode('third', step)
    .addEdge(START, 'first')
    .addEdge('first', 'second')
    .addEdge('second', 'third')
    .addEdge('third', END)
    .compile(checkpointer ? { checkpointer } : {});
}

/** With a saver each run is a thread of its own, checkpointed with the durability that queued tasks have. */
async function bareRuns(saver: BaseCheckpointSaver | undefined, runs: number): Promise<number> {
  const graph = threeNodes(saver);
  const run = async (thread: string) => {
    const { steps } = await graph.invoke(
      { goal: thread },
      saver ? { configurable: { thread_id: thread }, durability: 'sync' } : {},
    );
    if (steps !== 3) throw new Error(`expected 3 steps, got ${steps}`);
  };
  await inFlight(threads('warm-up', WARM_UP_RUNS), CONCURRENCY, run);
  return rate(runs, () => inFlight(threads('run', runs), CONCURRENCY, run));
}

export function threads(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`);
}

async function throughQueue(side: string, path: string, runs: number): Promise<number> {
  const { Conductor } = await import('../../dist/index.js');
  const { emptyPlace, openTaskQueue } = await import('../task-queues.ts');
  const queue = openTaskQueue(side, await emptyPlace(side, path));
  const conductor = new Conductor({ agents: { worker: threeNodes() }, queue });
  const process = async (name: string, count: number) => {
    await conductor.enqueueGoals(threads(name, count).map((goal) => ({ goal })));
    return rate(count, async () => {
      const { completed } = await conductor.processQueue({ untilEmpty: true, maxConcurrent: CONCURRENCY });
      if (completed !== count) throw new Error(`expected ${count} completed runs, got ${completed}`);
    });
  };
  await process('warm-up', WARM_UP_RUNS);
  const perSecond = await process('run', runs);
  await conductor.close();
  await queue.close();
  return perSecond;
}
