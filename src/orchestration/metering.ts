import type { Clock } from '../clock.ts';
import type { Amounts } from '../queue/budget.ts';
import {
  type Budget,
  budgetsIn,
  keyOfWorkflow,
  scopeOf,
  scopeOfKey,
  scopeOfTask,
  scopeOfTeam,
} from '../queue/budget.ts';
import { THREAD_LIMIT } from '../queue/limits.ts';
import type { Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { OpenCall } from './account.ts';
import type { Agent } from './agent.ts';
import type { AttemptEnd } from './attempt.ts';
import type { MeteredBudget } from './run-budgets.ts';
import type { MeterOptions, UsageMeter } from './usage-meter.ts';
import { membershipOf } from './workflow-membership.ts';

/** A call of a run without a queue is taken for dead after this long: no lease tells whether its process lives. */
const UNQUEUED_CALL_MS_MAX = 10 * 60_000;

type Places = Pick<MeterOptions, 'scopes' | 'budgets'>;

/** The accounts that a task's calls count in, and the budgets it stays within. */
export function placesOf(task: Task, agent: Pick<Agent, 'name' | 'budget'>): Places {
  const { id, parent, limits = [] } = task;
  const workflow = membershipOf(task)?.id ?? parent?.workflow;
  const own = budgetsIn(task.budget).map((budget) => meteredBudget(id, budget));
  const inherited = (parent?.budgets ?? []).map((scope): MeteredBudget => ({ scope, amounts: {} }));
  const above = parent === undefined ? [] : [parent.id, ...(parent.above ?? [])].map(scopeOfTask);
  const keys = limits.map(({ key }) => key).filter((key) => !key.startsWith(THREAD_LIMIT));
  if (workflow !== undefined) keys.push(keyOfWorkflow(workflow));
  const budgets = distinct([...own, ...inherited, ...ofTeam(id, agent)]);
  return {
    scopes: distinct([
      { scope: scopeOfTask(id), isBelow: false },
      ...above.map((scope) => ({ scope, isBelow: true })),
      { scope: scopeOfAgent(agent.name), isBelow: false },
      ...keys.map((key) => ({ scope: scopeOfKey(key), isBelow: false })),
      ...budgets.map(({ scope }) => ({ scope, isBelow: false })),
    ]),
    budgets,
  };
}

export function hasBudget({ budget, parent }: Task, agent: Pick<Agent, 'budget'>): boolean {
  return budget !== undefined || parent?.budgets !== undefined || agent.budget !== undefined;
}

/** The bound of a team on one goal. */
function ofTeam(id: string, { budget }: Pick<Agent, 'budget'>): MeteredBudget[] {
  return budget === undefined ? [] : [{ scope: scopeOfTeam(id), amounts: budget, isEnd: true }];
}

/** Of a run without a queue. */
export function placesOfRun(
  threadId: string,
  agent: Pick<Agent, 'name' | 'budget'>,
  budget: Budget | readonly Budget[],
): Places {
  const given = budgetsIn(budget).map((one): MeteredBudget => {
    const { amounts } = meteredBudget(threadId, one);
    return { scope: one.key === undefined ? scopeOfRun(threadId) : scopeOfKey(one.key), amounts };
  });
  const budgets = distinct([...given, ...ofTeam(threadId, agent)]);
  const scopes = budgets.map(({ scope }) => ({ scope, isBelow: false }));
  return { scopes: [{ scope: scopeOfAgent(agent.name), isBelow: false }, ...scopes], budgets };
}

export function scopeOfAgent(name: string): string {
  return `agent:${name}`;
}

function scopeOfRun(threadId: string): string {
  return `run:${threadId}`;
}

function meteredBudget(taskId: string, budget: Budget): MeteredBudget {
  const { key: _, ...given } = budget;
  const amounts: Amounts = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
  return { scope: scopeOf(taskId, budget), amounts };
}

/** Each scope once, the first of it, in an order that is the same for all runs. */
function distinct<T extends { readonly scope: string }>(places: readonly T[]): T[] {
  const found = new Map<string, T>();
  for (const place of places) if (!found.has(place.scope)) found.set(place.scope, place);
  return [...found.values()].sort((a, b) => (a.scope < b.scope ? -1 : 1));
}

/** Whether the run that has a call open may still tell its end. */
export async function isCallAlive(
  queue: TaskQueue,
  clock: Clock,
  { task, fence, at }: OpenCall,
): Promise<boolean> {
  if (fence === 0) return clock.now() - at < UNQUEUED_CALL_MS_MAX;
  return (await queue.getTask(task))?.lease?.fence === fence;
}

/**
 * Runs an attempt with its meter. Where a budget was found spent, whatever the run came to by that, short of an end:
 * it waits for a decision.
 */
export async function metered(
  meter: UsageMeter,
  isAborted: () => boolean,
  run: () => Promise<AttemptEnd>,
): Promise<AttemptEnd> {
  try {
    await meter.begin();
    return await run();
  } catch (error) {
    const { question } = meter;
    if (question === undefined || isAborted()) throw error;
    return { status: 'waiting', interrupts: [question] };
  } finally {
    await meter.end();
  }
}
