import { readTasks } from '../queue/batch.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { type Account, addByModel } from './account.ts';
import type { Accounts } from './accounts.ts';
import { type BudgetOwner, scopeOfOwner } from './budgets.ts';
import { scopeOfAgent } from './metering.ts';
import { NO_USAGE, type TaskUsage, type UsageByModel } from './usage.ts';

/** Whose calls. */
export type UsageOwner = (BudgetOwner & { readonly agent?: undefined }) | { readonly agent: string };

/** With the children of a task as a tree. */
export type UsageFor<Owner extends UsageOwner> = Owner extends { readonly taskId: string }
  ? TaskUsage
  : UsageByModel;

const NOTHING: UsageByModel = { ...NO_USAGE, models: {} };
/** Tasks whose accounts are read at a time. */
const READS = 100;

export async function usageOfOwner<Owner extends UsageOwner>(
  accounts: Accounts,
  queue: TaskQueue,
  owner: Owner,
): Promise<UsageFor<Owner>> {
  const { agent, taskId } = (owner ?? {}) as { readonly agent?: string; readonly taskId?: string };
  const scope =
    typeof agent === 'string' && taskId === undefined
      ? scopeOfAgent(agent)
      : scopeOfOwner(owner as BudgetOwner);
  const account = await accounts.read(scope);
  const found =
    taskId === undefined ? (account?.own ?? NOTHING) : await usageOfTask(accounts, queue, taskId, account);
  return found as UsageFor<Owner>;
}

async function usageOfTask(
  accounts: Accounts,
  queue: TaskQueue,
  taskId: string,
  account: Account | null,
): Promise<TaskUsage> {
  const own = account?.own ?? NOTHING;
  const children = await usageOfChildren(accounts, queue, taskId);
  // What those below have told here stays when they are purged.
  const all = account?.below === undefined ? own : addByModel(own, account.below);
  return { taskId, ...all, own, children };
}

async function usageOfChildren(accounts: Accounts, queue: TaskQueue, taskId: string): Promise<TaskUsage[]> {
  const [task] = await readTasks(queue, [taskId]);
  const ids = task?.children ?? [];
  const found: TaskUsage[] = [];
  for (let from = 0; from < ids.length; from += READS) {
    const page = ids.slice(from, from + READS).map(async (id) => {
      const account = await accounts.read(scopeOfOwner({ taskId: id }));
      return account === null ? [] : [await usageOfTask(accounts, queue, id, account)];
    });
    found.push(...(await Promise.all(page)).flat());
  }
  return found;
}
