import { FAILURE_MESSAGE_BYTES_MAX, FAILURES_MAX } from './bounds.ts';
import { cutBytes } from './task-error.ts';

/**
 * What kind of failure it was. `transient`: the same may succeed later · `rateLimit`: too many calls · `badOutput`:
 * the model's answer was no use · `tool`: a tool failed · `capability`: this agent or model cannot do it ·
 * `budget`: what it may spend is spent.
 */
export type FailureClass =
  | 'transient'
  | 'rateLimit'
  | 'badOutput'
  | 'tool'
  | 'capability'
  | 'budget'
  | 'unknown';

/** What follows: the same again after the back-off, another agent, another model, a person, or the dead letter. */
export type NextStep = 'wait' | 'otherAgent' | { readonly model: string } | 'ask' | 'giveUp';

/** One attempt that failed, as the next one sees it. */
export interface Failure {
  /** Counts the failures of the task, from 1. */
  readonly n: number;
  readonly class: FailureClass;
  /** Cut to 500 bytes. */
  readonly message: string;
  readonly agent: string;
  readonly attempt: number;
  /** From when the attempt could have run, ms since the epoch. */
  readonly dueAt?: number;
  /** As `Task.turns`, of this attempt. */
  readonly turns?: readonly number[];
  /** ms since the epoch */
  readonly at: number;
  readonly step: NextStep;
}

/** The failures with one more, the newest FAILURES_MAX of them. */
export function withFailure(known: readonly Failure[] | undefined, failure: Failure): readonly Failure[] {
  const message = cutBytes(failure.message, FAILURE_MESSAGE_BYTES_MAX);
  return [...(known ?? []), { ...failure, message }].slice(-FAILURES_MAX);
}
