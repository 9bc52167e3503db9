import { AMOUNT_NAMES, type AmountName, type Amounts } from '../queue/budget.ts';
import { addUsage, NO_USAGE, roundCost, type Usage, type UsageByModel } from './usage.ts';

/** Names of models that an account keeps apart; those that come later are told together. */
const MODELS_MAX = 50;
const OTHER_MODELS = 'others';
/** Calls under way on one budget; another waits. */
const OPEN_CALLS_MAX = 200;

type Spent = Readonly<Record<AmountName, number>>;

/** A call that was admitted and whose end is not recorded yet. */
export interface OpenCall {
  readonly id: string;
  /** The run that makes it: the task, and the fence of its lease. */
  readonly task: string;
  readonly fence: number;
  /** ms since the epoch */
  readonly at: number;
  /** The most it can come to; absent where nobody knows: such a call is under way alone. */
  readonly tokens?: number;
  readonly cost?: number;
  /** What it counts for where its end is never seen: its bound; else the largest call before, or its question. */
  readonly lost: Cost;
}

/** A budget as it is stored. */
export interface BudgetAccount {
  readonly max: Amounts;
  /** What it was given first. */
  readonly given: Amounts;
  /** How often it was raised or set anew: names the question that is put when it is spent. */
  readonly raises: number;
  readonly spent: Spent;
  readonly open: readonly OpenCall[];
  /** The most that a call has come to so far. */
  readonly largest: Cost;
}

/** What a call came to. */
export interface Cost {
  readonly tokens: number;
  readonly cost: number;
}

/** What was spent in one scope. */
export interface Account {
  readonly own: UsageByModel;
  /** Of the children of a task. */
  readonly below?: UsageByModel;
  readonly budget?: BudgetAccount;
}

/** Why a call is not made: what is spent, or that it has to wait for others to end. */
type Refusal = { readonly refused: AmountName; readonly raises: number };
export type Admission = { readonly admitted: OpenCall } | 'wait' | Refusal;

const NOTHING: UsageByModel = { ...NO_USAGE, models: {} };
const NO_SPENT: Spent = { tokens: 0, cost: 0, modelCalls: 0, steps: 0, wallMs: 0 };

export function accountFrom(text: string | undefined): Account {
  return text === undefined ? { own: NOTHING } : (JSON.parse(text) as Account);
}

export function textOf(account: Account): string {
  return JSON.stringify(account);
}

/** With calls that have ended; `isBelow`: a child's. */
export function withUsage(account: Account, model: string, usage: Usage, isBelow: boolean): Account {
  const part = isBelow ? 'below' : 'own';
  return {
    ...account,
    [part]: addByModel(account[part] ?? NOTHING, { ...usage, models: { [model]: usage } }),
  };
}

export function addByModel(a: UsageByModel, b: UsageByModel): UsageByModel {
  const models: Record<string, Usage> = { ...a.models };
  for (const [name, usage] of Object.entries(b.models)) {
    const isKept = Object.hasOwn(models, name) || Object.keys(models).length < MODELS_MAX;
    const place = isKept ? name : OTHER_MODELS;
    models[place] = addUsage(models[place] ?? NO_USAGE, usage);
  }
  return { ...addUsage(a, b), models };
}

/** With a budget of these amounts, where it has none yet. */
export function withBudget(account: Account, amounts: Amounts): Account {
  if (account.budget !== undefined || Object.keys(amounts).length === 0) return account;
  return {
    ...account,
    budget: {
      max: amounts,
      given: amounts,
      raises: 0,
      spent: NO_SPENT,
      open: [],
      largest: { tokens: 0, cost: 0 },
    },
  };
}

/** With other bounds; those left out stay. Who waits for a decision has it with that. */
export function withMax(account: Account, amounts: Amounts): Account {
  const budget = account.budget ?? withBudget({ own: NOTHING }, amounts).budget!;
  const raises = account.budget === undefined ? 0 : budget.raises + 1;
  return { ...account, budget: { ...budget, max: { ...budget.max, ...amounts }, raises } };
}

/** The bounds raised by so much; null: by what it was given first. What is not bounded stays so. */
export function raised(budget: BudgetAccount, by: Amounts | null): Amounts {
  const amounts: Partial<Record<AmountName, number>> = {};
  for (const name of AMOUNT_NAMES) {
    const [max, more] = [budget.max[name], (by ?? budget.given)[name]];
    if (max !== undefined && more !== undefined) amounts[name] = max + more;
  }
  return amounts;
}

/** The first of these bounds that is reached; undefined where there is something left of all. */
export function spentOf(
  { max, spent }: BudgetAccount,
  names: readonly AmountName[] = AMOUNT_NAMES,
): AmountName | undefined {
  return names.find((name) => max[name] !== undefined && spent[name] >= max[name]);
}

/**
 * Admits a call where it can exceed the budget by itself alone, whatever the calls under way come to: their bounds
 * are counted as spent, and one without a bound is under way alone.
 */
export function admit(
  account: Account,
  call: OpenCall,
  isGone: (open: OpenCall) => boolean,
  isTogether: (open: OpenCall) => boolean,
): { readonly account: Account; readonly result: Admission } {
  const { budget } = account;
  if (budget === undefined) return { account, result: { admitted: call } };
  const kept = withoutGone(budget, isGone);
  const known = kept === budget ? account : { ...account, budget: kept };
  const mine = kept.open.find(({ id }) => id === call.id);
  if (mine !== undefined) return { account: known, result: { admitted: mine } };
  const refused = spentOf(kept);
  if (refused !== undefined) return { account: known, result: { refused, raises: kept.raises } };
  if (mustWait(kept, call, isTogether)) return { account: known, result: 'wait' };
  const spent = { ...kept.spent, modelCalls: kept.spent.modelCalls + 1 };
  const admitted = call.tokens === undefined ? { ...call, lost: larger(call.lost, kept.largest) } : call;
  const open = [...kept.open, admitted];
  return { account: { ...known, budget: { ...kept, spent, open } }, result: { admitted } };
}

function mustWait(
  { max, spent, open }: BudgetAccount,
  call: OpenCall,
  isTogether: (open: OpenCall) => boolean,
): boolean {
  const others = open.filter((one) => !isTogether(one));
  if (others.length >= OPEN_CALLS_MAX) return true;
  for (const name of ['tokens', 'cost'] as const) {
    const bound = max[name];
    if (bound === undefined || others.length === 0) continue;
    if (call[name] === undefined || others.some((one) => one[name] === undefined)) return true;
    if (spent[name] + others.reduce((sum, one) => sum + one[name]!, 0) >= bound) return true;
  }
  return false;
}

/** What runs have left open that are over counts as lost. */
function withoutGone(budget: BudgetAccount, isGone: (open: OpenCall) => boolean): BudgetAccount {
  const gone = budget.open.filter(isGone);
  if (gone.length === 0) return budget;
  const open = budget.open.filter((one) => !gone.includes(one));
  return { ...budget, open, spent: gone.reduce((spent, { lost }) => added(spent, lost), budget.spent) };
}

/**
 * A call that has ended, with what it came to. Where it was given up for lost in the meantime, since its run was over
 * or had lost its lease, what it was counted for is put right.
 */
export function settled(account: Account, call: OpenCall, came: Cost): Account {
  const { budget } = account;
  if (budget === undefined) return account;
  const isOpen = budget.open.some(({ id }) => id === call.id);
  const before = isOpen ? { tokens: 0, cost: 0 } : call.lost;
  const spent = added(budget.spent, { tokens: came.tokens - before.tokens, cost: came.cost - before.cost });
  const open = budget.open.filter(({ id }) => id !== call.id);
  return { ...account, budget: { ...budget, spent, open, largest: larger(budget.largest, came) } };
}

function larger(a: Cost, b: Cost): Cost {
  return { tokens: Math.max(a.tokens, b.tokens), cost: Math.max(a.cost, b.cost) };
}

/** A call that was admitted here and refused elsewhere: it was not made. */
export function withdrawn(account: Account, { id }: OpenCall): Account {
  const { budget } = account;
  if (!budget?.open.some((open) => open.id === id)) return account;
  const spent = { ...budget.spent, modelCalls: budget.spent.modelCalls - 1 };
  return { ...account, budget: { ...budget, spent, open: budget.open.filter((open) => open.id !== id) } };
}

/** Steps made, or time taken. */
export function worked(account: Account, { steps = 0, wallMs = 0 }: Amounts): Account {
  const { budget } = account;
  if (budget === undefined || (steps === 0 && wallMs === 0)) return account;
  const { spent } = budget;
  return {
    ...account,
    budget: { ...budget, spent: { ...spent, steps: spent.steps + steps, wallMs: spent.wallMs + wallMs } },
  };
}

function added(spent: Spent, { tokens, cost }: Cost): Spent {
  return {
    ...spent,
    tokens: Math.max(0, spent.tokens + tokens),
    cost: Math.max(0, roundCost(spent.cost + cost)),
  };
}
