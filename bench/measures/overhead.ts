import { join } from 'node:path';
import { type BaseCheckpointSaver, MemorySaver } from '@langchain/langgraph';
import { SQLiteSaver } from '../../dist/checkpoint/index.js';
import { Conductor } from '../../dist/index.js';
import { type Figures, inFlight } from '../figures.ts';
import type { Measure } from '../round.ts';
import { openTaskQueue } from '../task-queues.ts';
import { CONCURRENCY, threads, threeNodes } from './graphs.ts';

/** Runs of one way, before the next has its turn: few, so that what else the machine does hits all ways alike. */
const RUNS = 40;
const TURNS = 35;
const QUICK_TURNS = 8;
/** These compile the code, and do not count. */
const WARM_UP_TURNS = 3;

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
 * in one process, turn by turn, with savers of the same kind. The garbage of all turns is counted, so it is the mean.
 */
export const overhead: Measure = async ({ side, folder, quick }) => {
  const ways = waysOf(side, folder);
  const turns = quick ? QUICK_TURNS : TURNS;
  const taken = Object.fromEntries(Object.keys(ways).map((way) => [way, 0]));
  for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
    for (const [name, way] of inTurn(Object.entries(ways), turn + WARM_UP_TURNS)) {
      await way.prepare?.(`${name}-${turn}`, RUNS);
      const before = process.cpuUsage();
      await way.run(`${name}-${turn}`, RUNS);
      const { user, system } = process.cpuUsage(before);
      if (turn >= 0) taken[name]! += (user + system) / 1_000;
    }
  }
  for (const way of Object.values(ways)) await way.close?.();
  return Object.fromEntries(
    Object.entries(taken).map(([name, ms]) => [`${name}Ms`, ms / (turns * RUNS)]),
  ) satisfies Figures;
};

/** Each turn another is first, and comes after another (there are five): what one leaves behind is not always the same one's load. */
function inTurn<T>(all: readonly T[], turn: number): T[] {
  const step = 1 + (turn % (all.length - 1));
  return all.map((_, i) => all[(turn + i * step) % all.length]!);
}

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
