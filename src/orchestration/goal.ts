import { InvalidTaskError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import type { NewTask } from '../queue/task.ts';
import type { AgentHost } from './agent-host.ts';
import { checkInput } from './graph-input.ts';

/** Everything a task may say, with the goal's input in place of a payload. */
export interface GoalOptions extends Omit<NewTask, 'payload' | 'parent'> {
  /** Goes to the graph's channels of the same names. Plain JSON; anything else is refused. */
  readonly input?: object | undefined;
}

export type Goal = GoalOptions & { readonly goal: string };

/**
 * A goal as a task. Where one agent alone could run it, its input is checked; the queue refuses what is no JSON.
 *
 * @throws InvalidTaskError
 */
export function toTask(host: Pick<AgentHost, 'matching'>, { goal, input, ...options }: Goal): NewTask {
  if (typeof goal !== 'string') throw new InvalidTaskError('goal', `expected a text, got ${typeof goal}`);
  const payload: JsonObject = input === undefined ? { goal } : { goal, input: input as JsonObject };
  const matching = host.matching(options);
  if (matching.length === 1) checkInput(matching[0]!, payload);
  return { ...options, payload };
}
