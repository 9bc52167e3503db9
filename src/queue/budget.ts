import { InvalidTaskError, TooLargeError } from '../errors.ts';
import { ID_PATTERN, INTERVAL_MS_MAX } from './bounds.ts';
import { describe } from './description.ts';

/** What may be spent. Each that is given is a bound of its own. */
export interface Amounts {
  /** Of models, in and out together. */
  readonly tokens?: number | undefined;
  /** In the currency of the conductor's `prices`. */
  readonly cost?: number | undefined;
  readonly modelCalls?: number | undefined;
  /** Supersteps of graphs, of subgraphs too. */
  readonly steps?: number | undefined;
  /** Time that runs take, added up, ms; waiting costs nothing. */
  readonly wallMs?: number | undefined;
}

/** With a `key` it is shared by all tasks that name the key, in every process; the amounts of the first one count. */
export interface Budget extends Amounts {
  /** `[A-Za-z0-9_.:-]`, 1–128 characters. @default a budget of the task's own */
  readonly key?: string | undefined;
}

/** Budgets of one task. */
export const BUDGETS_MAX = 8;
export const AMOUNT_NAMES = ['tokens', 'cost', 'modelCalls', 'steps', 'wallMs'] as const;
export type AmountName = (typeof AMOUNT_NAMES)[number];

const AMOUNT_MAX = 1e15;
const FRACTIONAL: readonly string[] = ['cost', 'wallMs'];

/** The budgets a task was submitted with, as a list. */
export function budgetsIn(budget: Budget | readonly Budget[] | undefined): readonly Budget[] {
  if (budget === undefined) return [];
  return Array.isArray(budget) ? (budget as readonly Budget[]) : [budget as Budget];
}

/** Where the account of a key is kept; a task's own is under its id. */
export function scopeOfKey(key: string): string {
  return `key:${key}`;
}

/** The section of the registry that holds the account of a scope. */
export function accountSection(scope: string): string {
  return `account:${scope}`;
}

export function scopeOfTask(id: string): string {
  return `task:${id}`;
}

/** What the team of a task may spend together, where its agent is one. */
export function scopeOfTeam(id: string): string {
  return `team:${id}`;
}

export function scopeOf(taskId: string, { key }: Budget): string {
  return key === undefined ? scopeOfTask(taskId) : scopeOfKey(key);
}

/** The key that all tasks of a workflow share. */
export function keyOfWorkflow(id: string): string {
  return `workflow:${id}`;
}

/** The check of `NewTask.budget`. Throws InvalidTaskError or TooLargeError naming the place. */
export function checkBudgets(value: unknown, at: (field?: string) => string, field: string): void {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > BUDGETS_MAX)
    throw new TooLargeError(at(field), 'BUDGETS_MAX', BUDGETS_MAX, list.length, 'budgets');
  const seen = new Set<unknown>();
  list.forEach((budget, i) => {
    const place = Array.isArray(value) ? `${field}[${i}]` : field;
    const problem = problemOf(budget);
    if (problem) throw new InvalidTaskError(at(`${place}${problem[0]}`), problem[1]);
    const { key } = budget as Budget;
    if (seen.has(key)) throw new InvalidTaskError(at(place), 'expected one budget of each key');
    seen.add(key);
  });
}

/** The place in the budget, and what is wrong there; null where nothing is. */
function problemOf(budget: unknown): [place: string, problem: string] | null {
  if (typeof budget !== 'object' || budget === null || Array.isArray(budget))
    return ['', `expected { tokens, cost, modelCalls, steps, wallMs }, got ${describe(budget)}`];
  const { key, ...amounts } = budget as Record<string, unknown>;
  if (key !== undefined && (typeof key !== 'string' || !ID_PATTERN.test(key)))
    return ['.key', `expected 1–128 characters of A–Z a–z 0–9 _ . : -, got ${describe(key)}`];
  if (key === undefined && Object.values(amounts).every((amount) => amount === undefined))
    return ['', `expected at least one of ${AMOUNT_NAMES.join(', ')}`];
  return amountsProblem(amounts);
}

/** As `problemOf`, of the amounts alone. */
export function amountsProblem(
  amounts: Readonly<Record<string, unknown>>,
): [place: string, problem: string] | null {
  for (const [name, amount] of Object.entries(amounts)) {
    if (!AMOUNT_NAMES.includes(name as AmountName))
      return [`.${name.slice(0, 64)}`, `expected one of key, ${AMOUNT_NAMES.join(', ')}`];
    if (amount === undefined || isAmount(name, amount)) continue;
    const max = name === 'wallMs' ? INTERVAL_MS_MAX : AMOUNT_MAX;
    const kind = FRACTIONAL.includes(name) ? 'a number' : 'a whole number';
    return [`.${name}`, `expected ${kind} from 0 to ${max}, got ${describe(amount)}`];
  }
  return null;
}

function isAmount(name: string, amount: unknown): boolean {
  if (typeof amount !== 'number' || !(amount >= 0)) return false;
  if (amount > (name === 'wallMs' ? INTERVAL_MS_MAX : AMOUNT_MAX)) return false;
  return FRACTIONAL.includes(name) || Number.isInteger(amount);
}
