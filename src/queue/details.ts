import type { JsonObject, JsonValue } from '../json.ts';
import type { Effect } from './effects.ts';
import type { Failure } from './failures.ts';
import type { AgentScore, TaskAnswer, TaskError, TaskInterrupt } from './task.ts';
import type { Assignment } from './task-queue.ts';

/** What the clocks of a task remember of its life; not shown. */
interface ClockDetails {
  /** It has started once, so that it cannot expire any more. */
  readonly hasBegun?: true;
  /** A new life began then: its time to expire counts from there. */
  readonly from?: number;
  /** It ended while dependencies were undecided, for which a new life waits again. */
  readonly wasBlocked?: true;
}

/** What only some tasks have; stored as one opaque JSON text, absent while empty. */
export interface Details {
  readonly error?: TaskError;
  readonly progress?: JsonValue;
  readonly progressAt?: number;
  readonly askedAt?: number;
  readonly clock?: ClockDetails;
  readonly interrupts?: readonly TaskInterrupt[];
  readonly answers?: readonly TaskAnswer[];
  /** Replaces the submission's metadata once it was changed. */
  readonly metadata?: JsonObject;
  readonly assignedAgent?: string;
  readonly scores?: readonly AgentScore[];
  readonly turns?: readonly number[];
  /** Ids of the tasks it enqueued. */
  readonly children?: readonly string[];
  /** Calls with a side effect that were started; see `once`. */
  readonly effects?: readonly Effect[];
  /** How its attempts failed, oldest first. */
  readonly failures?: readonly Failure[];
}

export function readDetails(text: string | null): Details {
  return text === null ? {} : (JSON.parse(text) as Details);
}

/** What an assignment adds to them. */
export function assignmentDetails({
  agent,
  scores,
  turns,
}: Assignment): Pick<Details, 'assignedAgent' | 'scores' | 'turns'> {
  if (turns !== undefined) return { assignedAgent: agent, scores, turns };
  return scores.length > 0 ? { assignedAgent: agent, scores } : { assignedAgent: agent };
}

/** The text with `changes` merged in; a key given as undefined is removed. */
export function withDetails(
  text: string | null,
  changes: { [K in keyof Details]?: Details[K] | undefined },
): string | null {
  const merged = JSON.stringify({ ...readDetails(text), ...changes });
  return merged === '{}' ? null : merged;
}

/** The text without these keys. Most have none of them, and a key that does not occur in the text needs no look at it. */
export function withoutDetails(text: string, keys: readonly (keyof Details)[]): string | null {
  if (!keys.some((key) => text.includes(`"${key}":`))) return text;
  return withDetails(text, Object.fromEntries(keys.map((key) => [key, undefined])));
}
