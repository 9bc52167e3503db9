import { join } from 'node:path';
import { Conductor, TaskQueueManager } from '../../dist/index.js';
import type { TaskQueue } from '../../dist/queue/index.js';
import { type Figures, rate } from '../figures.ts';
import type { Measure } from '../round.ts';
import { emptyPlace, openTaskQueue } from '../task-queues.ts';
import { AGENT_TYPES, batches, RESULT, workItems } from '../work.ts';

const CONCURRENCIES = [1, 10, 100];
const BULK = 1_000;
const TASKS = 20_000;
const QUICK_TASKS = 4_000;

/** Processing through `Conductor` and `TaskQueueManager`, with an agent that does nothing. */
export const manager: Measure = async ({ side, folder, quick }) => {
  const figures: Figures = {};
  const processed = async (name: string, concurrency: number, tasks: number) =>
    throughManager(
      openTaskQueue(side, await emptyPlace(side, join(folder, `${name}.db`))),
      concurrency,
      tasks,
    );
  const tasks = quick ? QUICK_TASKS : TASKS;
  // As the bare queue does before it is measured.
  for (const concurrency of [10, 100]) await processed(`warm-up-${concurrency}`, concurrency, tasks);
  for (const concurrency of CONCURRENCIES) {
    figures[`process${concurrency}`] = await processed(`${concurrency}`, concurrency, tasks);
  }
  return figures;
};

/** An agent that does nothing, for all types of the work. */
export const noOpAgent = {
  graph: { invoke: async () => ({ ...RESULT }) },
  capabilities: [...AGENT_TYPES],
};

async function throughManager(queue: TaskQueue, concurrency: number, tasks: number): Promise<number> {
  const conductor = new Conductor({ agents: { worker: noOpAgent }, queue });
  for (const batch of batches(workItems(tasks), BULK)) {
    await conductor.enqueueGoals(
      batch.map(({ payload, agentType, priority }) => ({
        goal: payload.goal,
        input: { ...payload.input },
        agentType,
        priority: priority as 5,
      })),
    );
  }
  const workers = new TaskQueueManager(conductor, queue, { maxConcurrent: concurrency });
  const perSecond = await rate(tasks, async () => {
    const done = completions(queue, tasks);
    await workers.start();
    await done;
  });
  await workers.stop();
  await conductor.close();
  await queue.close();
  return perSecond;
}

/** Resolves when this many tasks have been recorded as completed. */
export function completions(queue: TaskQueue, tasks: number): Promise<void> {
  let left = tasks;
  return new Promise((resolve, reject) => {
    queue.on('failed', (task) => reject(new Error(`a no-op task failed: ${task.error?.message}`)));
    queue.on('completed', () => {
      left -= 1;
      if (left === 0) resolve();
    });
  });
}
