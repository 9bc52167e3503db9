import type { JsonValue } from '../json.ts';
import type { Performance } from './experience.ts';
import { GOAL, recordOf, type TeamValues, valuesOf } from './team-state.ts';

/** What conditions and routers see of a goal that several agents work on. */
export interface TeamView {
  readonly goal?: string;
  /** The agents that have run, in order. */
  readonly path: readonly string[];
  /** What each has made, by name; of several times the last. */
  readonly results: Readonly<Record<string, JsonValue>>;
  /** The agents' channels, under their own names. */
  readonly [channel: string]: unknown;
}

/** An agent as a router sees it. */
export interface TeamMember<Name extends string = string> {
  readonly name: Name;
  readonly description: string;
  /** The name is the first one. */
  readonly capabilities: readonly string[];
  /** How often it has run for this goal. */
  readonly runs: number;
  /** What is known of its work; absent where it has never run. */
  readonly experience?: Performance;
}

export function viewOf(state: TeamValues): TeamView {
  const { path, results } = recordOf(state);
  const goal = state[GOAL];
  return { ...valuesOf(state), ...(typeof goal === 'string' && { goal }), path, results };
}
