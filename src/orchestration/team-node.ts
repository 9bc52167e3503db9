import type { Clock } from '../clock.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import type { Agent, AgentCallOptions, AgentInput, AgentTask, AttemptInfo } from './agent.ts';
import { isGraph, type RunnableGraph } from './graph.ts';
import { toPlainJson } from './plain-result.ts';
import {
  GOAL,
  madeOf,
  recordOf,
  TEAM_CHANNEL,
  type TeamRecordChange,
  type TeamValues,
  valuesOf,
} from './team-state.ts';
import { watchNodes } from './watched-nodes.ts';

/** The config a node is called with, as far as it is read. */
export interface NodeConfig {
  readonly configurable?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly writer?: (chunk: unknown) => void;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly callbacks?: unknown;
}

export interface TeamNodeOptions {
  readonly agent: Agent;
  readonly clock: Clock;
  /** The channels of the team's graph. */
  readonly channels: ReadonlySet<string>;
  /** Learns how the agent's run has ended. */
  readonly onEnd?: ((agent: string, wasSuccess: boolean, ms: number) => void) | undefined;
}

/** What a priority would be in a queue; an agent's own `toInput` may ask for it. */
const TEAM_PRIORITY = 5;
/** LangGraph's: an agent that says nothing of its own is not given its team's. */
const RECURSION_LIMIT = 25;
/** Characters of what others have made that the first message of an agent tells. */
const DIGEST_CHARS_MAX = 20_000;

/** The node of one agent: its graph runs in a checkpoint namespace of its own, below the node's. */
export function teamNode(options: TeamNodeOptions) {
  const { agent, clock, onEnd } = options;
  return async (state: TeamValues, config: NodeConfig): Promise<Record<string, unknown>> => {
    config.writer?.({ jotty: 'agent', agent: agent.name, step: recordOf(state).path.length + 1 });
    const startedAt = clock.now();
    const { input, given } = await inputOf(agent, state, config);
    const elapsed = () => Math.max(0, clock.now() - startedAt);
    try {
      const output = await runAgent(agent, input, config);
      onEnd?.(agent.name, true, elapsed());
      return updateOf(options, given, output, elapsed());
    } catch (error) {
      const handover = handoverOf(error);
      if (handover === undefined) {
        // It could not go on without a model: the team ends with what the others have made.
        if (!isBubbling(error) && (await isTeamSpent(config))) return stopped(agent, elapsed());
        if (!isBubbling(error) && !config.signal?.aborted) onEnd?.(agent.name, false, elapsed());
        throw error;
      }
      onEnd?.(agent.name, true, elapsed());
      return handoverUpdate(options, handover, elapsed());
    }
  };
}

async function runAgent(agent: Agent, input: unknown, config: NodeConfig): Promise<unknown> {
  const worker: unknown = agent.graph ?? agent.invokable;
  if (!isGraph(worker)) return agent.invokable.invoke(input as AgentInput, callOptions(agent, config));
  watchNodes(worker);
  const graph = worker as unknown as RunnableGraph & {
    readonly config?: { readonly recursionLimit?: number };
  };
  const recursionLimit = agent.recursionLimit ?? graph.config?.recursionLimit ?? RECURSION_LIMIT;
  const metadata = { ...config.metadata, jotty_agent: agent.name };
  return graph.invoke(input, { ...config, metadata, recursionLimit } as never);
}

function callOptions(
  { name }: Agent,
  { configurable = {}, signal, writer, callbacks }: NodeConfig,
): AgentCallOptions {
  const info = configurable.jotty as AttemptInfo | undefined;
  return {
    signal: signal ?? info?.signal ?? new AbortController().signal,
    writer: writer ?? (() => {}),
    ...(callbacks !== undefined && { callbacks: callbacks as object[] }),
    metadata: { jotty_agent: name },
    configurable: { thread_id: String(configurable.thread_id), jotty: info as AttemptInfo },
  };
}

interface AgentStart {
  readonly input: unknown;
  /** What of the input came from the team's state; the rest is the agent's addition to it. */
  readonly given: TeamValues;
}

/** What an agent gets: the goal, the channels it has, and under `results` what each has made before. */
async function inputOf(agent: Agent, state: TeamValues, config: NodeConfig): Promise<AgentStart> {
  const goal = state[GOAL];
  const values = valuesOf(state);
  const { results, rest } = recordOf(state);
  if (agent.toInput !== undefined) {
    const input: unknown = await agent.toInput(taskOf(state, config));
    return { input, given: input as TeamValues };
  }
  const offered: Record<string, unknown> = {
    ...rest,
    ...values,
    results,
    ...(goal !== undefined && { goal }),
  };
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

function taskOf(state: TeamValues, { configurable = {} }: NodeConfig): AgentTask {
  const info = configurable.jotty as AttemptInfo | undefined;
  const { results, rest } = recordOf(state);
  const payload = { goal: state[GOAL], input: toPlainJson({ ...rest, ...valuesOf(state) }) } as JsonObject;
  const id = info?.taskId ?? String(configurable.thread_id);
  return { id, payload, metadata: {}, priority: TEAM_PRIORITY, attempt: info?.attempt ?? 1, results };
}

function withDigest(goal: string, results: Readonly<Record<string, JsonValue>>): string {
  const told = Object.entries(results).map(([agent, made]) => `${agent}: ${JSON.stringify(made)}`);
  if (told.length === 0) return goal;
  return `${goal}\n\nWhat others have done for it:\n${told.join('\n').slice(0, DIGEST_CHARS_MAX)}`;
}

function updateOf(
  { agent, channels }: TeamNodeOptions,
  given: TeamValues,
  output: unknown,
  ms: number,
): Record<string, unknown> {
  const isRecord = typeof output === 'object' && output !== null && !Array.isArray(output);
  const { made, changes } = madeOf(given, isRecord ? (output as Record<string, unknown>) : {}, channels);
  const result = agent.toResult === undefined ? (isRecord ? made : output) : agent.toResult(output);
  return { ...changes, ...recordChange(agent, result, [], ms) };
}

function handoverUpdate(
  { agent, channels }: TeamNodeOptions,
  { to, update }: Handover,
  ms: number,
): Record<string, unknown> {
  const known = Object.entries(update).filter(([name]) => channels.has(name));
  const own = known.filter(([name]) => name !== GOAL && name !== TEAM_CHANNEL);
  return { ...Object.fromEntries(own), ...recordChange(agent, update, to, ms) };
}

function stopped({ name }: Agent, workedMs: number) {
  const change: TeamRecordChange = { path: [name], workedMs };
  return { [TEAM_CHANNEL]: change };
}

/** Whether what the agents may spend on the goal together is spent. */
export async function isTeamSpent({ configurable = {} }: NodeConfig): Promise<boolean> {
  return (await (configurable.jotty as AttemptInfo | undefined)?.isSpent?.()) ?? false;
}

function recordChange({ name }: Agent, made: unknown, handover: readonly string[], workedMs: number) {
  const change: TeamRecordChange = {
    path: [name],
    results: { [name]: toPlainJson(made) },
    handovers: { [name]: handover },
    workedMs,
  };
  return { [TEAM_CHANNEL]: change };
}

/** To whom an agent gives the goal on, and what it changes by that. */
interface Handover {
  readonly to: readonly string[];
  readonly update: Readonly<Record<string, unknown>>;
}

/** A `Command` to the parent graph leaves the agent's graph as an error, known by its name. */
function handoverOf(error: unknown): Handover | undefined {
  const { name, command } = (error ?? {}) as {
    name?: unknown;
    command?: { goto?: unknown; update?: unknown };
  };
  if (name !== 'ParentCommand' || typeof command !== 'object') return undefined;
  const targets = command.goto === undefined ? [] : [command.goto].flat();
  return { to: targets.map(nodeName), update: recordFrom(command.update) };
}

/** A `Send` names its node. */
function nodeName(target: unknown): string {
  return typeof target === 'string' ? target : String((target as { node?: unknown }).node);
}

/** `Command` takes pairs as well. */
function recordFrom(update: unknown): Record<string, unknown> {
  if (Array.isArray(update)) return Object.fromEntries(update as [string, unknown][]);
  return typeof update === 'object' && update !== null ? (update as Record<string, unknown>) : {};
}

const BUBBLING: ReadonlySet<unknown> = new Set([
  'GraphInterrupt',
  'NodeInterrupt',
  'GraphDrained',
  'GraphBubbleUp',
]);

/** A stop, not a failure. */
function isBubbling(error: unknown): boolean {
  return BUBBLING.has((error as { name?: unknown } | null)?.name);
}
