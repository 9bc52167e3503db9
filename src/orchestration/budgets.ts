import { InvalidOptionError, JottyError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { ID_PATTERN } from '../queue/bounds.ts';
import {
  AMOUNT_NAMES,
  type Amounts,
  amountsProblem,
  keyOfWorkflow,
  scopeOfKey,
  scopeOfTask,
} from '../queue/budget.ts';
import { describe } from '../queue/description.ts';
import type { Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { type Account, type BudgetAccount, raised, spentOf, withMax } from './account.ts';
import type { Accounts } from './accounts.ts';
import { budgetAsked, checkDecision, ownerOf } from './budget-question.ts';

/** Whose budget, or usage. */
export type BudgetOwner =
  | { readonly taskId: string; readonly workflowId?: undefined; readonly key?: undefined }
  | { readonly workflowId: string; readonly taskId?: undefined; readonly key?: undefined }
  | { readonly key: string; readonly taskId?: undefined; readonly workflowId?: undefined };

/** How a budget stands. */
export interface BudgetStatus {
  readonly max: Amounts;
  /** Also of what is not bounded. Steps and time are counted while they are bounded. */
  readonly spent: Readonly<Record<keyof Amounts, number>>;
  /** Calls of models under way now. */
  readonly callsOpen: number;
  /** Whether the next call is refused. */
  readonly isSpent: boolean;
  /** How often it was raised or set anew. */
  readonly raises: number;
}

const PAGE_TASKS = 1_000;

/** One budget, as operators see it. */
export class BudgetHandle {
  readonly #accounts: Accounts;
  readonly #queue: () => TaskQueue;
  readonly #scope: string;

  constructor(accounts: Accounts, queue: () => TaskQueue, scope: string) {
    this.#accounts = accounts;
    this.#queue = queue;
    this.#scope = scope;
  }

  /** null where there is none, or none yet: a task's is opened when it first runs. */
  async status(): Promise<BudgetStatus | null> {
    const budget = (await this.#accounts.read(this.#scope))?.budget;
    return budget === undefined ? null : statusOf(budget);
  }

  /** Sets these bounds, the others stay; tasks that wait for a decision about it go on. @throws InvalidOptionError */
  async set(max: Amounts): Promise<BudgetStatus> {
    requireAmounts(max);
    return this.#change((account) => withMax(account, max));
  }

  /**
   * Raises its bounds by so much, without amounts by what it was given first; tasks that wait for a decision about it
   * go on. @throws InvalidOptionError; JottyError with code BUDGET_NOT_FOUND.
   */
  async raise(by?: Amounts): Promise<BudgetStatus> {
    if (by !== undefined) requireAmounts(by);
    return this.#change((account) => withMax(account, raised(this.#required(account), by ?? null)));
  }

  /** Ends the tasks that wait for a decision about it, as failed with code BUDGET_STOPPED. Returns their ids. */
  async stop(): Promise<string[]> {
    const account = await this.#accounts.read(this.#scope);
    this.#required(account ?? undefined);
    return answerAll(this.#queue(), this.#scope, 'stop');
  }

  #required(account: Account | undefined): BudgetAccount {
    if (account?.budget !== undefined) return account.budget;
    throw new JottyError(
      'BUDGET_NOT_FOUND',
      `there is no budget ${this.#scope}, or no task has begun on it yet`,
    );
  }

  async #change(change: (account: Account) => Account): Promise<BudgetStatus> {
    const status = await this.#accounts.change(this.#scope, (account) => {
      const next = change(account);
      return { account: next, result: statusOf(next.budget!) };
    });
    await answerAll(this.#queue(), this.#scope, 'raise');
    return status;
  }
}

function statusOf(budget: BudgetAccount): BudgetStatus {
  const { max, spent, open, raises } = budget;
  return { max, spent, callsOpen: open.length, isSpent: spentOf(budget) !== undefined, raises };
}

/** The account of an owner. @throws InvalidOptionError */
export function scopeOfOwner(owner: BudgetOwner | string): string {
  const named = typeof owner === 'string' ? { taskId: owner } : (owner ?? {});
  const given = Object.entries(named).filter(([, value]) => value !== undefined);
  const [name, id] = given[0] ?? [];
  if (given.length !== 1 || typeof id !== 'string' || !ID_PATTERN.test(id))
    throw new InvalidOptionError(
      'owner',
      'an id of a task, or one of taskId, workflowId and key',
      describe(id),
    );
  switch (name) {
    case 'taskId':
      return scopeOfTask(id);
    case 'workflowId':
      return scopeOfKey(keyOfWorkflow(id));
    case 'key':
      return scopeOfKey(id);
    default:
      throw new InvalidOptionError('owner', 'one of taskId, workflowId and key', name);
  }
}

function requireAmounts(amounts: Amounts): void {
  const given = typeof amounts === 'object' && amounts !== null ? amounts : undefined;
  const problem = given && amountsProblem(given as Record<string, unknown>);
  if (problem) throw new InvalidOptionError(`amounts${problem[0]}`, problem[1], describe(amounts));
  if (!AMOUNT_NAMES.some((name) => given?.[name] !== undefined))
    throw new InvalidOptionError('amounts', `at least one of ${AMOUNT_NAMES.join(', ')}`, describe(amounts));
}

/** Answers the question about this budget in the name of all who put it. Returns the ids of the tasks that go on. */
export async function answerAll(queue: TaskQueue, scope: string, value: JsonValue): Promise<string[]> {
  const answered: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({ status: 'waiting', limit: PAGE_TASKS, cursor });
    for (const task of page.tasks) {
      if (await answerOne(queue, task, (asked) => asked.scope === scope, value)) answered.push(task.id);
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  return answered;
}

async function answerOne(
  queue: TaskQueue,
  { id, interrupts = [] }: Task,
  isMeant: (asked: { readonly scope: string; readonly raises: number }) => boolean,
  value: JsonValue,
): Promise<boolean> {
  const questions = interrupts.filter((question) => {
    const asked = budgetAsked(question.id);
    return asked !== null && isMeant(asked);
  });
  for (const question of questions) {
    try {
      await queue.answer(id, question.id, value);
    } catch (error) {
      // Somebody was faster, or the task is over.
      if (!(error instanceof JottyError) || error.code === 'STORE_UNAVAILABLE') throw error;
    }
  }
  return questions.length > 0;
}

/** A task that has just begun to wait, while the budget it waits for was raised: it goes on. */
export async function goOnIfRaised(accounts: Accounts, queue: TaskQueue, task: Task): Promise<void> {
  for (const question of task.interrupts ?? []) {
    const asked = budgetAsked(question.id);
    if (asked === null) continue;
    const raises = (await accounts.read(asked.scope))?.budget?.raises ?? 0;
    if (raises > asked.raises) await answerOne(queue, task, (one) => one.scope === asked.scope, 'raise');
  }
}

/**
 * An answer to a question about a budget is what happens to the budget: others who wait for it go on with it.
 * @throws InvalidOptionError for an answer that is none, and what the queue's `answer` throws.
 */
export async function answerBudget(
  accounts: Accounts,
  queue: TaskQueue,
  taskId: string,
  interruptId: string,
  value: JsonValue,
): Promise<Task> {
  const { scope, raises } = budgetAsked(interruptId)!;
  const decision = checkDecision(value);
  const task = await queue.answer(taskId, interruptId, value);
  if (decision === 'stop') return task;
  // The run that goes on would do it too: whoever comes first raises it, once.
  await accounts.change(scope, (account) => {
    const { budget } = account;
    const isNext = budget !== undefined && budget.raises === raises;
    return {
      account: isNext ? withMax(account, raised(budget, decision.raise)) : account,
      result: undefined,
    };
  });
  if (ownerOf(scope).key !== undefined || ownerOf(scope).taskId !== taskId)
    await answerAll(queue, scope, 'raise');
  return task;
}
