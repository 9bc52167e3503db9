import { join } from 'node:path';
import { type BaseCheckpointSaver, MemorySaver } from '@langchain/langgraph';
import { SQLiteSaver } from '../../dist/checkpoint/index.js';
import { Conductor } from '../../dist/index.js';
import { type Figures, inFlight, median } from '../figures.ts';
import type { Measure } from '../round.ts';
import { openTaskQueue } from '../task-queues.ts';
import { CONCURRENCY, threads, threeNodes } from './graphs.ts';

/** Runs of one side, before the next has its turn. */
const RUNS = 200;
const TURNS = 7;
const QUICK_RUNS = 40;
const QUICK_TURNS = 2;

/** Runs the graph so many times, and tells how; threads and goals have this name. */
interface Way {
  /** Not measured. */
  prepare?(name: string, runs: number): Promise<unknown>;
  run(name: string, runs: number): Promise<unknown>;
  close?(): Promise<unknown>;
}

/**
 * CPU of the whole process, ms, for one run of a graph of three trivial nodes: bare, through `conductor.run`, with its
 * events read, and through a queue, whose runs record their events durably, without and with a reader of each. All
 * in one process, turn by turn, with savers of the same kind, so that what else the machine does hits all alike.
 */
export const overhead: Measure = async ({ side, folder, quick }) => {
  const ways = waysOf(side, folder);
  const runs = quick ? QUICK_RUNS : RUNS;
  const taken = Object.fromEntries(Object.keys(ways).map((way) => [way, [] as number[]]));
  // The first turn compiles the code, and does not count.
  for (let turn = 0; turn <= (quick ? QUICK_TURNS : TURNS); turn++) {
    for (const [name, way] of Object.entries(ways)) {
      await way.prepare?.(`${name}-${turn}`, runs);
      const before = process.cpuUsage();
      await way.run(`${name}-${turn}`, runs);
      const { user, system } = process.cpuUsage(before);
      if (turn > 0) taken[name]?.push((user + system) / 1_000 / runs);
    }
  }
  for (const way of Object.values(ways)) await way.close?.();
  return Object.fromEntries(
    Object.entries(taken).map(([name, ms]) => [`${name}Ms`, median(ms)]),
  ) satisfies Figures;
};

function waysOf(side: string, folder: string): Readonly<Record<string, Way>> {
  const saver = (name: string): BaseCheckpointSaver =>
    side === 'memory' ? new MemorySaver() : new SQLiteSaver({ path: join(folder, `${name}.db`) });
  return {
    bare: bare(saver('bare')),
    run: direct(saver('run')),
    stream: streamed(saver('stream')),
    queue: queued(side, join(folder, 'queue.db'), false),
    read: queued(side, join(folder, 'read.db'), true),
  };
}

function bare(saver: BaseCheckpointSaver): Way {
  const graph = threeNodes(saver);
  return {
    run: (name, runs) =>
      inFlight(threads(name, runs), CONCURRENCY, (thread) =>
        graph.invoke({ goal: thread }, { configurable: { thread_id: thread }, durability: 'sync' }),
      ),
  };
}

function direct(checkpointer: BaseCheckpointSaver): Way {
  const conductor = new Conductor({ agents: { worker: threeNodes() }, checkpointer });
  return {
    run: (name, runs) =>
      inFlight(threads(name, runs), CONCURRENCY, (threadId) => conductor.run(threadId, { threadId })),
    close: () => conductor.close(),
  };
}

function streamed(checkpointer: BaseCheckpointSaver): Way {
  const conductor = new Conductor({ agents: { worker: threeNodes() }, checkpointer });
  return {
    run: (name, runs) =>
      inFlight(threads(name, runs), CONCURRENCY, (threadId) => all(conductor.stream(threadId, { threadId }))),
    close: () => conductor.close(),
  };
}

function queued(side: string, path: string, isRead: boolean): Way {
  const queue = openTaskQueue(side === 'memory' ? 'jotty-memory' : 'jotty', { path });
  const conductor = new Conductor({
    agents: { worker: threeNodes() },
    queue,
    ...(side === 'memory' && { checkpointer: new MemorySaver() }),
  });
  let ids: readonly string[] = [];
  return {
    prepare: async (name, runs) => {
      ids = await conductor.enqueueGoals(threads(name, runs));
    },
    run: () =>
      Promise.all([
        conductor.processQueue({ untilEmpty: true, maxConcurrent: CONCURRENCY }),
        ...(isRead ? ids.map((id) => all(conductor.events(id))) : []),
      ]),
    close: async () => {
      await conductor.close();
      await queue.close();
    },
  };
}

async function all(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}
