import { JottyError } from '../errors.ts';
import type { TaskInterrupt } from '../queue/task.ts';

export const ONCE_PREFIX = 'once:';

/** Whether a question is about a call in doubt: it has an id of ours, which no answer is sent to the graph for. */
export function isOnceQuestion(id: string): boolean {
  return id.startsWith(ONCE_PREFIX);
}

/** The open questions that stopped an agent without a graph; null where something else did. */
export function onceQuestions(error: unknown): readonly TaskInterrupt[] | null {
  return error instanceof UnsettledEffect ? error.interrupts : null;
}

/**
 * Ends a run at a call in doubt. LangGraph takes it for an interrupt, by its shape: nodes beside this one go on,
 * tools do not turn it into a message, and the task waits.
 */
export class UnsettledEffect extends JottyError {
  readonly is_bubble_up = true;
  readonly interrupts: readonly TaskInterrupt[];

  constructor(key: string, question: TaskInterrupt) {
    super('EFFECT_IN_DOUBT', `${key} was started and never recorded: somebody must say what became of it`);
    this.name = 'GraphInterrupt';
    this.interrupts = [question];
  }
}
