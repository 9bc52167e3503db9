import { JottyError, LeaseLostError, TimeoutError } from '../errors.ts';
import { refusalOf } from '../queue/rate-limit.ts';
import type { Outcome } from '../queue/task.ts';

/** Why a run's signal was aborted, when it was by Jotty. It is the signal's `reason`. */
export class RunAborted extends JottyError {
  readonly kind: 'cancelled' | 'shutdown';

  constructor(kind: 'cancelled' | 'shutdown', reason: string) {
    super(kind === 'cancelled' ? 'CANCELLED' : 'SHUTDOWN', reason);
    this.kind = kind;
  }
}

/** Another run of the same work would end in the same way. */
const PERMANENT_CODES: ReadonlySet<unknown> = new Set([
  'INVALID_TASK',
  'TOO_LARGE',
  'STATE_NOT_SERIALIZABLE',
  'GRAPH_CHANGED',
  'THREAD_TAKEN',
  'COMMAND_REFUSED',
  'DEADLINE_EXCEEDED',
  'BUDGET_STOPPED',
]);
const PERMANENT_NAMES: ReadonlySet<unknown> = new Set(['GraphRecursionError', 'EmptyInputError']);

/**
 * What a run that threw means for its task; null where the task is no longer ours to settle.
 *
 * The reason of the abort comes first: once a run is aborted, whatever it throws is an echo of that.
 */
export function outcomeOf(error: unknown, abortReason: Error | undefined, taskId: string): Outcome | null {
  const cause: unknown = abortReason ?? error;
  if (cause instanceof LeaseLostError && cause.taskId === taskId) return null;
  if (cause instanceof TimeoutError) return { status: 'failed', error: cause };
  if (cause instanceof RunAborted) {
    return cause.kind === 'shutdown' ? { status: 'released', reason: cause.message } : null;
  }
  const { name, code } = propertiesOf(cause);
  if (name === 'GraphDrained') return { status: 'released', reason: 'drained' };
  if (PERMANENT_NAMES.has(name) || PERMANENT_CODES.has(code))
    return { status: 'failed', error: cause, retry: false };
  return { status: 'failed', error: cause };
}

/** Whether the outcome says that there were too many calls: no failure of the agent's. */
export function isRefused(outcome: Outcome | null): boolean {
  return (
    outcome?.status === 'failed' &&
    outcome.retry !== false &&
    outcome.failure === undefined &&
    refusalOf(outcome.error) !== null
  );
}

function propertiesOf(error: unknown): { readonly name?: unknown; readonly code?: unknown } {
  return typeof error === 'object' && error !== null ? error : {};
}
