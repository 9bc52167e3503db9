import { InvalidOptionError } from '../errors.ts';
import type { Failure, FailureClass, NextStep } from '../queue/failures.ts';
import type { Outcome, Task, TaskInterrupt } from '../queue/task.ts';
import { toTaskError } from '../queue/task-error.ts';
import { classOf } from './failure-class.ts';

/** Says what kind of failure an error is; undefined leaves that to Jotty. */
export type Classify = (error: unknown, task: Task) => FailureClass | undefined;

/** The next step by class. */
export type OnFailure = Readonly<Partial<Record<FailureClass, NextStep>>>;

export interface FailurePolicy {
  readonly classify?: Classify | undefined;
  /** @default `capability: 'otherAgent'`, `budget: 'ask'`, and `wait` for all else; `giveUp` for what no retry mends */
  readonly onFailure?: OnFailure | undefined;
}

type Failed = Extract<Outcome, { status: 'failed' }>;

const CLASSES: readonly string[] = [
  'transient',
  'rateLimit',
  'badOutput',
  'tool',
  'capability',
  'budget',
  'unknown',
] satisfies FailureClass[];
const DEFAULT_STEPS: OnFailure = { capability: 'otherAgent', budget: 'ask' };
const QUESTION = 'failure:';

/** @throws InvalidOptionError */
export function checkPolicy(at: string, { onFailure = {} }: FailurePolicy): void {
  for (const [name, step] of Object.entries(onFailure)) {
    if (!CLASSES.includes(name)) throw new InvalidOptionError(`${at}.onFailure`, CLASSES.join(', '), name);
    if (!isStep(step))
      throw new InvalidOptionError(
        `${at}.onFailure.${name}`,
        'wait, otherAgent, ask, giveUp or { model }',
        JSON.stringify(step),
      );
  }
}

function isStep(step: unknown): boolean {
  if (typeof step === 'object' && step !== null)
    return typeof (step as { model?: unknown }).model === 'string';
  return typeof step === 'string' && ['wait', 'otherAgent', 'ask', 'giveUp'].includes(step);
}

/** What becomes of a failed attempt: classified, with its next step, and kept for the next attempt to see. */
export function nextOutcome(
  outcome: Failed,
  task: Task,
  agent: FailurePolicy & { readonly name: string },
  conductor: FailurePolicy,
  now: number,
): Outcome {
  const kind = classified(outcome.error, task, [agent.classify, conductor.classify]);
  const wanted = agent.onFailure?.[kind] ?? conductor.onFailure?.[kind];
  const step = wanted ?? (outcome.retry === false ? 'giveUp' : (DEFAULT_STEPS[kind] ?? 'wait'));
  // Too many calls are no failure: the task goes back uncharged, as long as nothing else was asked for.
  if (kind === 'rateLimit' && step === 'wait') return outcome;
  const failure: Failure = {
    n: (task.failures?.at(-1)?.n ?? 0) + 1,
    class: kind,
    message: toTaskError(outcome.error).message,
    agent: agent.name,
    attempt: task.attempt,
    dueAt: task.runAt,
    at: now,
    step,
  };
  if (step === 'ask') return { status: 'waiting', interrupts: [questionOf(failure)], failure };
  return { status: 'failed', error: outcome.error, failure, ...(step === 'giveUp' && { retry: false }) };
}

function classified(
  error: unknown,
  task: Task,
  classifiers: readonly (Classify | undefined)[],
): FailureClass {
  for (const classify of classifiers) {
    try {
      const found = classify?.(error, task);
      if (found !== undefined && CLASSES.includes(found)) return found;
    } catch {
      // A classifier that throws has no opinion; the failure itself must be recorded.
    }
  }
  return classOf(error);
}

function questionOf({ n, step: _, at: __, dueAt: ___, ...failure }: Failure): TaskInterrupt {
  const value = {
    jotty: 'failure',
    ...failure,
    question: `${failure.agent} failed: ${failure.message}; what now?`,
    choices: ['again', 'giveUp'],
  };
  return { id: `${QUESTION}${n}`, value };
}

/** The end of a task whose last failure a person has answered with `giveUp`; null where it goes on. */
export function givenUp({ failures, answers = [] }: Task): Outcome | null {
  const last = failures?.at(-1);
  if (last?.step !== 'ask') return null;
  const answer = answers.find(({ id }) => id === `${QUESTION}${last.n}`)?.value;
  const choice = typeof answer === 'object' && answer !== null && 'choice' in answer ? answer.choice : answer;
  if (choice !== 'giveUp') return null;
  return { status: 'failed', error: new Error(last.message), retry: false };
}

const NOBODY: readonly string[] = [];

/** Agents that failed in a way that another one is to be tried after. */
export function agentsToAvoid({ failures }: Pick<Task, 'failures'>): readonly string[] {
  return failures === undefined
    ? NOBODY
    : failures.filter(({ step }) => step === 'otherAgent').map(({ agent }) => agent);
}

/** The model that the next attempt is to use; undefined where nobody said so. */
export function modelFor({ failures = [] }: Pick<Task, 'failures'>): string | undefined {
  const step = failures.findLast(({ step }) => typeof step === 'object')?.step;
  return typeof step === 'object' ? step.model : undefined;
}
