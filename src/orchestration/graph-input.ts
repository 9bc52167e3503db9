import { InvalidTaskError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { type Agent, type AgentTask, goalAndInput } from './agent.ts';

/**
 * Refuses an input key that the input schema of the agent's graph does not have. LangGraph would drop it
 * without an error: a typo would become an empty run.
 *
 * @throws InvalidTaskError naming the key.
 */
export function checkInput(agent: Agent, payload: JsonObject): void {
  if (agent.toInput !== undefined || agent.inputs === undefined) return;
  const { goal, input } = goalAndInput(payload);
  for (const key of Object.keys(input)) {
    if (input[key] !== undefined && !agent.inputs.has(key)) refuse(agent, key);
  }
  const takesGoal = agent.inputs.has('goal') || agent.inputs.has('messages');
  if (goal !== undefined && !takesGoal && Object.keys(input).length === 0) {
    throw new InvalidTaskError(
      'payload.goal',
      `agent ${agent.name} takes neither goal nor messages as input; add such a channel, or give the agent toInput`,
    );
  }
}

function refuse(agent: Agent, key: string): never {
  const inputs = [...(agent.inputs ?? [])].join(', ');
  throw new InvalidTaskError(
    `payload.input.${key}`,
    `agent ${agent.name} has no channel ${key} in its input; it has ${inputs}`,
  );
}

/**
 * The graph's input: the goal on channel `goal`, the keys of `input` on the channels of the same name. A
 * graph with `messages` and no `goal` gets the goal as a HumanMessage; only then, and where the agent's own
 * `toInput` makes one, it is a promise. A task of a workflow gets the workflow's input and `results` as well, on
 * the channels that are there: not every agent of a workflow wants all of it.
 *
 * @throws InvalidTaskError for a key without a channel.
 */
export function inputFor(agent: Agent, task: AgentTask): unknown {
  if (agent.toInput !== undefined) return agent.toInput(task);
  checkInput(agent, task.payload);
  const { goal, input: own } = goalAndInput(task.payload);
  const input = task.workflow === undefined ? own : { ...offered(agent, task), ...own };
  if (goal === undefined) return { ...input };
  if (agent.inputs === undefined || agent.inputs.has('goal')) return { goal, ...input };
  if (!agent.inputs.has('messages') || input.messages !== undefined) return { ...input };
  return withMessage(goal, input);
}

function offered({ inputs }: Agent, { workflow, results }: AgentTask): JsonObject {
  const offer: JsonObject = { ...workflow?.input, ...(results !== undefined && { results }) };
  if (inputs === undefined) return offer;
  return Object.fromEntries(Object.entries(offer).filter(([channel]) => inputs.has(channel)));
}

async function withMessage(goal: string, input: JsonObject): Promise<unknown> {
  const { HumanMessage } = await import('@langchain/core/messages');
  return { ...input, messages: [new HumanMessage(goal)] };
}
