import type { JsonObject, JsonValue } from '../json.ts';
import type { Agent, AgentTask, AttemptInfo } from './agent.ts';
import { toPlainJson } from './plain-result.ts';
import type { NodeConfig } from './team-node.ts';
import { GOAL, recordOf, type TeamValues, valuesOf } from './team-state.ts';

/** What a team has for the agent whose turn it is. All of it is data: the agent may be elsewhere. */
export interface TeamOffer {
  readonly taskId: string;
  readonly attempt: number;
  readonly goal: unknown;
  /** Of the agents' channels. */
  readonly values: TeamValues;
  readonly results: Readonly<Record<string, JsonValue>>;
  /** Keys of the goal's input that no channel takes. */
  readonly rest: JsonObject;
}

export interface AgentStart {
  readonly input: unknown;
  /** What of the input came from the team's state; the rest is the agent's addition to it. */
  readonly given: TeamValues;
}

/** What a priority would be in a queue; an agent's own `toInput` may ask for it. */
const TEAM_PRIORITY = 5;
/** Characters of what others have made that the first message of an agent tells. */
const DIGEST_CHARS_MAX = 20_000;

export function offerOf(state: TeamValues, { configurable = {} }: NodeConfig): TeamOffer {
  const info = configurable.jotty as AttemptInfo | undefined;
  const { results, rest } = recordOf(state);
  return {
    taskId: info?.taskId ?? String(configurable.thread_id),
    attempt: info?.attempt ?? 1,
    goal: state[GOAL],
    values: valuesOf(state),
    results,
    rest,
  };
}

/** All of an offer by the names of channels, for an agent that takes any. */
export function allOf({ goal, values, results, rest }: TeamOffer): TeamValues {
  return { ...rest, ...values, results, ...(goal !== undefined && { goal }) };
}

/** What an agent gets: the goal, the channels it has, and under `results` what each has made before. */
export async function inputOf(agent: Agent, offer: TeamOffer): Promise<AgentStart> {
  if (agent.toInput !== undefined) {
    const input: unknown = await agent.toInput(taskOf(offer));
    return { input, given: input as TeamValues };
  }
  const { goal, values, results } = offer;
  const offered = allOf(offer);
  if (agent.inputs === undefined) return { input: offered, given: offered };
  const input = Object.fromEntries(
    Object.entries(offered).filter(([name, value]) => value !== undefined && agent.inputs!.has(name)),
  );
  const isConversation = agent.inputs.has('messages') && !agent.inputs.has(GOAL);
  const messages = values.messages as readonly unknown[] | undefined;
  if (!isConversation || typeof goal !== 'string' || (messages?.length ?? 0) > 0)
    return { input, given: input };
  const { HumanMessage } = await import('@langchain/core/messages');
  return { input: { ...input, messages: [new HumanMessage(withDigest(goal, results))] }, given: input };
}

function taskOf({ taskId, attempt, goal, values, results, rest }: TeamOffer): AgentTask {
  const payload = { goal, input: toPlainJson({ ...rest, ...values }) } as JsonObject;
  return { id: taskId, payload, metadata: {}, priority: TEAM_PRIORITY, attempt, results };
}

function withDigest(goal: string, results: Readonly<Record<string, JsonValue>>): string {
  const told = Object.entries(results).map(([agent, made]) => `${agent}: ${JSON.stringify(made)}`);
  if (told.length === 0) return goal;
  return `${goal}\n\nWhat others have done for it:\n${told.join('\n').slice(0, DIGEST_CHARS_MAX)}`;
}
