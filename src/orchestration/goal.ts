import { InvalidTaskError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { describe } from '../queue/description.ts';
import type { NewTask } from '../queue/task.ts';
import type { AgentHost } from './agent-host.ts';
import { checkInput } from './graph-input.ts';
import { onThread } from './shared-thread.ts';

/** Everything a task may say, with the goal's input in place of a payload. */
export interface GoalOptions extends Omit<NewTask, 'payload' | 'parent'> {
  /** Goes to the graph's channels of the same names. Plain JSON; anything else is refused. */
  readonly input?: object | undefined;
  /**
   * A thread that several goals share, e.g. a conversation: each goes on from the state the one before has left.
   * They run one after the other, in every process. 1–100 characters. @default a thread of its own
   */
  readonly threadId?: string | undefined;
}

export type Goal = GoalOptions & { readonly goal: string };

/** Each of them as a task; what is refused is named by its place, e.g. `tasks[3].payload.input.x`. */
export function toTasks(
  host: Pick<AgentHost, 'matching' | 'pinned'>,
  goals: readonly (string | Goal)[],
): NewTask[] {
  if (!Array.isArray(goals)) throw new InvalidTaskError('tasks', 'expected a list of goals');
  return goals.map((goal: string | Goal, i) => placed(`tasks[${i}]`, () => toTask(host, goalOf(goal))));
}

function goalOf(goal: string | Goal): Goal {
  if (typeof goal === 'string') return { goal };
  if (typeof goal === 'object' && goal !== null) return goal;
  throw new InvalidTaskError('goal', `expected a text, or { goal, … }, got ${describe(goal)}`);
}

/** Makes a task; where that is refused, the place is told from `at` on. */
export function placed(at: string, make: () => NewTask): NewTask {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof InvalidTaskError)) throw error;
    throw new InvalidTaskError(`${at}.${error.path}`, error.message.slice(error.path.length + 2));
  }
}

/**
 * A goal as a task. Where one agent alone could run it, its input is checked; the queue refuses what is no JSON.
 *
 * @throws InvalidTaskError
 */
export function toTask(
  host: Pick<AgentHost, 'matching' | 'pinned'>,
  { goal, input, threadId, ...options }: GoalOptions & { readonly goal?: string | undefined },
): NewTask {
  if ((options as { readonly payload?: unknown }).payload !== undefined)
    throw new InvalidTaskError('payload', 'expected none: it is made of the goal and its input');
  if (options.approval !== undefined) {
    if (threadId !== undefined)
      throw new InvalidTaskError('threadId', 'expected none: nobody runs an approval');
    return { ...options, payload: approvalPayload(goal, input) };
  }
  if (typeof goal !== 'string') throw new InvalidTaskError('goal', `expected a text, got ${typeof goal}`);
  const payload: JsonObject = input === undefined ? { goal } : { goal, input: input as JsonObject };
  const agent = host.pinned(options);
  const matching = host.matching({ ...options, agent });
  if (matching.length === 1) checkInput(matching[0]!, payload);
  const task: NewTask = { ...options, ...(agent !== undefined && { agent }), payload };
  return threadId === undefined ? task : onThread(task, threadId);
}

/** What a person is shown as the input: no graph reads it. */
function approvalPayload(goal: string | undefined, input: object | undefined): JsonObject {
  if (input !== undefined && (typeof input !== 'object' || input === null || Array.isArray(input)))
    throw new InvalidTaskError('input', 'expected an object');
  return { ...(goal !== undefined && { goal }), ...(input as JsonObject | undefined) };
}
