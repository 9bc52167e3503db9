import { join } from 'node:path';
import { durations, type Figures, inFlight, median, rate } from '../figures.ts';
import { sideByName } from '../peers/by-name.ts';
import { METER_COMMANDS, type Meter } from '../private-redis.ts';
import type { Measure, Round } from '../round.ts';
import type { OpenQueue, QueueSide } from '../side.ts';
import { AGENT_TYPES, batches, type WorkItem, workItems } from '../work.ts';

const CONCURRENCIES = [1, 10, 100];
const IN_FLIGHT = 100;
const BULK = 1_000;
const ONE_BY_ONE_MAX = 2_000;
/** A quick run does one task in this many. */
const QUICK_SHARE = 5;

/**
 * Enqueueing one by one, with 100 in flight and in bulk, and processing at concurrency 1, 10 and 100,
 * each on a fresh database.
 */
export const queue: Measure = async (round) => {
  const side = await sideByName(round.side);
  const bench = new QueueBench(side, round);
  await bench.warmUp();
  return { ...(await bench.enqueueing()), ...(await bench.processing()) };
};

class QueueBench {
  readonly #side: QueueSide;
  readonly #round: Round;
  #databases = 0;

  constructor(side: QueueSide, round: Round) {
    this.#side = side;
    this.#round = round;
  }

  /**
   * All of the work once, in each of its ways: a worker lives for days, and what the first thousands of tasks
   * cost is the compiler.
   */
  async warmUp(): Promise<void> {
    const items = workItems(this.#tasks(10));
    await this.#onFresh(async (open) => {
      await inFlight(items, IN_FLIGHT, (item) => open.enqueue(item));
      await open.process(10, items.length);
    });
    await this.#fillAndProcess(100, this.#tasks(100));
  }

  async enqueueing(): Promise<Figures> {
    const items = workItems(this.#tasks(IN_FLIGHT));
    const oneByOne = await this.#onFresh((open) =>
      durations(items.slice(0, ONE_BY_ONE_MAX), (item) => open.enqueue(item)),
    );
    const enqueueInFlight = await this.#onFresh((open) =>
      rate(items.length, () => inFlight(items, IN_FLIGHT, (item) => open.enqueue(item))),
    );
    const bulk = await this.#onFresh((open) =>
      open.enqueueMany ? this.#fill(open, items.length) : undefined,
    );
    return { enqueueMs: median(oneByOne), enqueueInFlight, ...(bulk !== undefined && { bulk }) };
  }

  async processing(): Promise<Figures> {
    const figures: Figures = {};
    for (const concurrency of CONCURRENCIES) {
      const processed = await this.#fillAndProcess(concurrency, this.#tasks(concurrency));
      for (const [name, value] of Object.entries(processed)) figures[`${name}${concurrency}`] = value;
    }
    return figures;
  }

  #tasks(concurrency: number): number {
    const tasks = this.#side.tasksMax(concurrency);
    return this.#round.quick && !this.#side.inMemory ? tasks / QUICK_SHARE : tasks;
  }

  /** Tasks/s of the processing alone, and of the whole way with the enqueueing. */
  #fillAndProcess(concurrency: number, tasks: number): Promise<Processed> {
    return this.#onFresh(async (open) => {
      const empty = await open.meter?.();
      const filled = await this.#fill(open, tasks);
      const full = await open.meter?.();
      const process = await rate(tasks, () => open.process(concurrency, tasks));
      const done = await open.meter?.();
      return { process, through: 1 / (1 / filled + 1 / process), ...costs(tasks, empty, full, done) };
    });
  }

  /** Enqueues in bulk where the side can; tasks/s. */
  #fill(open: OpenQueue, tasks: number): Promise<number> {
    const items = workItems(tasks);
    const enqueueMany = open.enqueueMany?.bind(open);
    if (!enqueueMany) return rate(tasks, () => inFlight(items, IN_FLIGHT, (item) => open.enqueue(item)));
    const groups = this.#side.bulkByType ? byType(items) : [items];
    const bulks = groups.flatMap((group) => batches(group, BULK));
    return rate(tasks, async () => {
      for (const bulk of bulks) await enqueueMany(bulk);
    });
  }

  async #onFresh<T>(use: (open: OpenQueue) => T | Promise<T>): Promise<T> {
    this.#databases += 1;
    const open = await this.#side.open(join(this.#round.folder, `${this.#databases}.db`));
    try {
      return await use(open);
    } finally {
      await open.close();
    }
  }
}

/** What `#fillAndProcess` measures: rates, and where the store can be asked what a task costs it. */
interface Processed {
  readonly process: number;
  readonly through: number;
  /** A waiting task holds this much. */
  readonly bytes?: number;
  /** Commands that Redis ran for the processing of a task. */
  readonly commands?: number;
}

function costs(tasks: number, empty?: Meter, full?: Meter, done?: Meter): Partial<Processed> {
  if (empty === undefined || full === undefined || done === undefined) return {};
  return {
    bytes: (full.bytes - empty.bytes) / tasks,
    commands: (done.commands - full.commands - METER_COMMANDS) / tasks,
  };
}

function byType(items: readonly WorkItem[]): WorkItem[][] {
  return AGENT_TYPES.map((type) => items.filter((item) => item.agentType === type));
}
