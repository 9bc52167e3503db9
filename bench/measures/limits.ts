import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import type { NewTask, TaskQueue } from '../../dist/queue/index.js';
import { drain } from '../drain.ts';
import { type Figures, median, rate } from '../figures.ts';
import type { Measure } from '../round.ts';
import { emptyPlace, openTaskQueue } from '../task-queues.ts';
import { batches, workItems } from '../work.ts';

const CONCURRENCY = 100;
const TASKS = 20_000;
const QUICK_TASKS = 4_000;
/** A quick run parks fewer, and says so in its table. */
const PARKED = 100_000;
const QUICK_PARKED = 20_000;
const BULK = 1_000;
const CLAIMS = 300;

/** Never reached: what it costs to ask. */
const LIMITED = { limits: [{ key: 'model:x', max: 1_000_000 }] };
const KEYS = 1_000;
/** Other ways in which each task may be limited; again, nobody is kept back. */
const SHAPES: Readonly<Record<string, (n: number) => Partial<NewTask>>> = {
  keys: (n) => ({ limits: [{ key: `user:${(n * 7_919) % KEYS}`, max: 50 }] }),
  rate: (n) => ({ limits: [{ key: `model:${n % 10}`, rate: { max: 1_000_000, perMs: 60_000 } }] }),
  two: (n) => ({
    limits: [
      { key: `tenant:${(n * 7_919) % 100}`, max: 50 },
      { key: `model:${n % 3}`, max: 2_000 },
    ],
  }),
};
/** The claims of others meet both: tasks without a limit, and tasks under one of their own. */
const OTHERS: readonly Partial<NewTask>[] = [{}, { limits: [{ key: 'tenant:other', max: 1_000_000 }] }];

/** Processing with a limit on each task and with none, and the claims of others beside tasks parked behind a full key. */
export const limits: Measure = async ({ side, folder, quick }) => {
  let places = 0;
  const onFresh = async <T>(use: (queue: TaskQueue) => Promise<T>): Promise<T> => {
    const queue = openTaskQueue(side, await emptyPlace(side, join(folder, `${++places}.db`)));
    try {
      return await use(queue);
    } finally {
      await queue.close();
    }
  };
  const tasks = quick ? QUICK_TASKS : TASKS;
  const parked = quick ? QUICK_PARKED : PARKED;
  const figures: Figures = {};
  const ways = { free: () => ({}), limited: () => LIMITED, ...SHAPES };
  // First each once, not measured: whoever comes first would else pay for the compiler.
  for (const turn of ['warm-up', 'measured']) {
    for (const [name, extra] of Object.entries(ways)) {
      const measured = await onFresh((queue) => processed(queue, tasks, extra));
      if (turn === 'measured') Object.assign(figures, prefixed(name, measured));
    }
  }
  await onFresh((queue) => claimsBeside(queue, 0));
  figures.aloneMs = await onFresh((queue) => claimsBeside(queue, 0));
  figures.besideOneMs = await onFresh((queue) => claimsBeside(queue, parked, () => 'tenant:acme'));
  figures.besideManyMs = await onFresh((queue) => claimsBeside(queue, parked, (n) => `tenant:${n % 1_000}`));
  return figures;
};

function prefixed(prefix: string, figures: Figures): Figures {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [prefix + name, value]));
}

/** Tasks/s of the processing, and of the whole way with the enqueueing. */
async function processed(
  queue: TaskQueue,
  tasks: number,
  extra: (n: number) => Partial<NewTask>,
): Promise<Figures> {
  const Filled = await rate(tasks, () => fill(queue, tasks, extra));
  const Processed = await rate(tasks, () => drain(queue, CONCURRENCY, tasks));
  return { Processed, Through: 1 / (1 / Filled + 1 / Processed) };
}

/** The median claim beside tasks that go first and cannot: their keys are full. */
async function claimsBeside(queue: TaskQueue, parked: number, keyOf = (_: number) => ''): Promise<number> {
  // A key with no place is full without anybody in it.
  await fill(queue, parked, (n) => ({ priority: 10, limits: [{ key: keyOf(n), max: 0 }] }));
  await fill(queue, 2 * CLAIMS, (n) => ({ priority: 1, ...OTHERS[n % OTHERS.length] }));
  const taken: number[] = [];
  for (let claim = 0; claim < CLAIMS; claim += 1) {
    await turn();
    const from = performance.now();
    const task = await queue.dequeue();
    taken.push(performance.now() - from);
    if (task?.priority !== 1) throw new Error(`expected one of the others, got ${task?.id}`);
  }
  return median(taken);
}

async function fill(queue: TaskQueue, tasks: number, extra: (n: number) => Partial<NewTask>): Promise<void> {
  const items = workItems(tasks).map(({ agentType, priority, payload }, n) => ({
    agentType,
    priority: priority as 5,
    payload: { ...payload },
    ...extra(n),
  }));
  for (const batch of batches(items, BULK)) await queue.enqueueMany(batch);
}
