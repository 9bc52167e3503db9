import { JottyError } from '../errors.ts';
import type { TaskInterrupt } from '../queue/task.ts';

export const ONCE_PREFIX = 'once:';

export const BUDGET_PREFIX = 'budget:';

/** Whether a question is about a call in doubt, or a spent budget: it has an id of ours, which no answer is sent to the graph for. */
export function isOwnQuestion(id: string): boolean {
  return id.startsWith(ONCE_PREFIX) || id.startsWith(BUDGET_PREFIX);
}

/** The open questions of ours that stopped an agent without a graph; null where something else did. */
export function heldQuestions(error: unknown): readonly TaskInterrupt[] | null {
  return error instanceof HeldError ? error.interrupts : null;
}

/**
 * Ends a run at a question of ours. LangGraph takes it for an interrupt, by its shape: nodes beside this one go on,
 * tools do not turn it into a message, and the task waits.
 */
export class HeldError extends JottyError {
  readonly is_bubble_up = true;
  readonly interrupts: readonly TaskInterrupt[];

  constructor(code: string, message: string, question: TaskInterrupt) {
    super(code, message);
    this.name = 'GraphInterrupt';
    this.interrupts = [question];
  }
}

/** At a call in doubt. */
export class UnsettledEffect extends HeldError {
  constructor(key: string, question: TaskInterrupt) {
    const why = `${key} was started and never recorded: somebody must say what became of it`;
    super('EFFECT_IN_DOUBT', why, question);
  }
}
