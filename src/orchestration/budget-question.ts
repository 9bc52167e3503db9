import { InvalidOptionError, JottyError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { AMOUNT_NAMES, type AmountName, type Amounts, amountsProblem } from '../queue/budget.ts';
import type { TaskAnswer, TaskInterrupt } from '../queue/task.ts';
import type { BudgetAccount } from './account.ts';
import { BUDGET_PREFIX, HeldError } from './once-question.ts';
import { answerTo, askedAgain } from './questions.ts';

/** What is asked where a budget is spent. The answer is `'raise'`, `{ raise: amounts }` or `'stop'`. */
export interface BudgetQuestion {
  readonly jotty: 'budget';
  readonly question: string;
  /** Of which task, or under which key. */
  readonly taskId?: string;
  readonly key?: string;
  /** What of it is spent. */
  readonly reached: AmountName;
  readonly max: Amounts;
  readonly spent: Amounts;
  readonly choices: readonly [raise: 'raise', stop: 'stop'];
}

/** `by` null: as much again as there was at first. */
export type BudgetDecision = { readonly raise: Amounts | null } | 'stop';

const ID = /^budget:(.+):(\d+)(?:~\d+)?$/;

/** The account a question is about, and how often it had been raised; null for another question. */
export function budgetAsked(id: string): { readonly scope: string; readonly raises: number } | null {
  const found = ID.exec(id);
  return found === null ? null : { scope: found[1]!, raises: Number(found[2]) };
}

function idOf(scope: string, raises: number): string {
  return `${BUDGET_PREFIX}${scope}:${raises}`;
}

/** Ends a run at a spent budget: nodes beside the one that is refused go on. */
export class BudgetSpentError extends HeldError {
  constructor(question: TaskInterrupt) {
    super('BUDGET_SPENT', (question.value as unknown as BudgetQuestion).question, question);
  }
}

/** What a team may spend on one goal is spent: no agent of it calls a model any more, and the team ends. */
export class TeamSpentError extends JottyError {
  constructor(reached: AmountName) {
    super('BUDGET_SPENT', `what the agents may spend together is spent: ${reached}`);
  }
}

/** A cost budget cannot hold for a model without a price. */
export class UnpricedModelError extends JottyError {
  readonly model: string | undefined;

  constructor(model: string | undefined) {
    super(
      'BUDGET_UNPRICED',
      `a budget bounds the cost, and there is no price of ${model ?? 'a model without a name'}; give the conductor one in prices`,
    );
    this.model = model;
  }
}

/** Somebody has decided that the task is not to go on. */
export class BudgetStoppedError extends JottyError {
  constructor(scope: string) {
    super('BUDGET_STOPPED', `the budget of ${scope} is spent, and somebody has stopped the task`);
  }
}

/** The question about a spent budget; put again where an answer to it was none. */
export function questionOf(
  scope: string,
  { raises, max, spent }: BudgetAccount,
  reached: AmountName,
  answers: readonly TaskAnswer[],
): TaskInterrupt {
  const owner = ownerOf(scope);
  const value = {
    jotty: 'budget',
    question: `the budget of ${scope} is spent: ${spent[reached]} of ${max[reached]} ${reached}; raise it, or stop?`,
    ...owner,
    reached,
    max: { ...max },
    spent: Object.fromEntries(AMOUNT_NAMES.map((name) => [name, spent[name]])),
    choices: ['raise', 'stop'],
  } as unknown as JsonValue;
  const question = { id: idOf(scope, raises), value };
  const given = answerTo(question, answers);
  return given === undefined
    ? question
    : askedAgain(question, given.askings, "expected 'raise', { raise: { tokens, … } } or 'stop'");
}

export function ownerOf(scope: string): { readonly taskId?: string; readonly key?: string } {
  if (scope.startsWith('task:')) return { taskId: scope.slice('task:'.length) };
  return scope.startsWith('key:') ? { key: scope.slice('key:'.length) } : {};
}

/** What was said to the question about this budget as it stands; undefined where nothing, or nothing that can be read. */
export function decisionOn(
  scope: string,
  raises: number,
  answers: readonly TaskAnswer[],
): BudgetDecision | undefined {
  const given = answerTo({ id: idOf(scope, raises), value: null }, answers);
  return given === undefined ? undefined : readDecision(given.answer.value)?.decision;
}

/** @throws InvalidOptionError for an answer that is none. */
export function checkDecision(value: unknown): BudgetDecision {
  const read = readDecision(value);
  if (read?.decision === undefined)
    throw new InvalidOptionError(
      'value',
      read?.problem ?? "'raise', { raise: { tokens, … } } or 'stop'",
      value,
    );
  return read.decision;
}

function readDecision(
  value: unknown,
): { readonly decision?: BudgetDecision; readonly problem?: string } | undefined {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  const { choice, raise } = isRecord ? (value as { choice?: unknown; raise?: unknown }) : { choice: value };
  if (choice === 'stop') return { decision: 'stop' };
  if (raise === undefined || raise === null)
    return choice === 'raise' ? { decision: { raise: null } } : undefined;
  if (typeof raise !== 'object') return undefined;
  const problem = amountsProblem(raise as Record<string, unknown>);
  if (problem) return { problem: `raise${problem[0]}: ${problem[1]}` };
  return { decision: { raise: raise as Amounts } };
}
