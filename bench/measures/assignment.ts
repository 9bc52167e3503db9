import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Conductor, TaskQueueManager } from '../../dist/index.js';
import { SQLiteTaskQueue, type TaskQueue } from '../../dist/queue/index.js';
import { quantile } from '../figures.ts';
import type { Measure } from '../round.ts';
import { AGENT_TYPES, RESULT, workItem } from '../work.ts';
import { completions } from './manager.ts';

const OFFERED_PER_SECOND = 1_000;
const TASKS = 10_000;
const QUICK_TASKS = 3_000;
const CONCURRENCY = 100;
/** Offered in small groups, as timers are no finer than a millisecond. */
const TICK_MS = 5;

/**
 * From the claim, as the task's history has it (whole ms), to the start of the agent, at 1,000 tasks/s offered.
 * The goals come singly, as from an application's requests.
 */
export const assignment: Measure = async ({ folder, quick }) => {
  const tasks = quick ? QUICK_TASKS : TASKS;
  const queue = new SQLiteTaskQueue({ path: join(folder, 'assignment.db') });
  const startedAt = new Map<string, number>();
  const invoke = async (_input: unknown, config?: { configurable?: Record<string, unknown> }) => {
    startedAt.set(String(config?.configurable?.thread_id), performance.timeOrigin + performance.now());
    return { ...RESULT };
  };
  const agent = { graph: { invoke }, capabilities: [...AGENT_TYPES] };
  const conductor = new Conductor({ agents: { worker: agent }, queue });
  const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: CONCURRENCY });
  await manager.start();
  const done = completions(queue, tasks);
  await offer(conductor, tasks);
  await done;
  const taken = await claimToStart(queue, startedAt);
  await manager.stop();
  await conductor.close();
  await queue.close();
  return { assignP50Ms: quantile(taken, 0.5), assignP99Ms: quantile(taken, 0.99) };
};

async function offer(conductor: Conductor, tasks: number): Promise<void> {
  const from = performance.now();
  const enqueued: Promise<string>[] = [];
  while (enqueued.length < tasks) {
    const due = Math.min(tasks, ((performance.now() - from) / 1_000) * OFFERED_PER_SECOND);
    while (enqueued.length < due) {
      const { payload, agentType, priority } = workItem(enqueued.length);
      const options = { input: { ...payload.input }, agentType, priority: priority as 5 };
      enqueued.push(conductor.enqueueGoal(payload.goal, options));
    }
    await sleep(TICK_MS);
  }
  await Promise.all(enqueued);
}

async function claimToStart(queue: TaskQueue, startedAt: ReadonlyMap<string, number>): Promise<number[]> {
  const taken: number[] = [];
  for (const [id, at] of startedAt) {
    const claim = (await queue.history(id)).find(({ to }) => to === 'assigned' || to === 'in_progress');
    if (claim === undefined) throw new Error(`no claim in the history of ${id}`);
    taken.push(Math.max(0, at - claim.at));
  }
  return taken;
}
