import { v5 as threadIdOf } from 'uuid';
import type { Clock } from '../clock.ts';
import type { JsonValue } from '../json.ts';
import type { Agent, AgentCallOptions, AgentInput, AttemptInfo } from './agent.ts';
import { type CompiledGraph, isGraph, type RunControl, type RunnableGraph } from './graph.ts';
import { toPlainJson } from './plain-result.ts';
import { isRemoteGraph, runRemote } from './remote-graph.ts';
import { type AgentStart, allOf, inputOf, offerOf, type TeamOffer } from './team-input.ts';
import {
  GOAL,
  madeOf,
  recordOf,
  TEAM_CHANNEL,
  type TeamRecordChange,
  type TeamValues,
} from './team-state.ts';
import { watchNodes } from './watched-nodes.ts';

/** The config a node is called with, as far as it is read. */
export interface NodeConfig {
  readonly configurable?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly writer?: (chunk: unknown) => void;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly callbacks?: unknown;
  readonly control?: RunControl;
}

/** What an agent has come to. */
export interface MemberEnd {
  readonly output: unknown;
  /** What its own `toResult` has made of that, where it has one. */
  readonly result?: unknown;
}

export interface TeamNodeOptions {
  readonly agent: Agent;
  readonly clock: Clock;
  /** The channels of the team's graph. */
  readonly channels: ReadonlySet<string>;
  /** Learns how the agent's run has ended. */
  readonly onEnd?: ((agent: string, wasSuccess: boolean, ms: number) => void) | undefined;
}

/** LangGraph's: an agent that says nothing of its own is not given its team's. */
const RECURSION_LIMIT = 25;

/** The node of one agent: its graph runs in a checkpoint namespace of its own, below the node's. */
export function teamNode(options: TeamNodeOptions) {
  const { agent, clock, onEnd } = options;
  return async (state: TeamValues, config: NodeConfig): Promise<Record<string, unknown>> => {
    config.writer?.({ jotty: 'agent', agent: agent.name, step: recordOf(state).path.length + 1 });
    const startedAt = clock.now();
    const offer = offerOf(state, config);
    const start = agent.isolated === undefined ? await inputOf(agent, offer) : startElsewhere(offer);
    const elapsed = () => Math.max(0, clock.now() - startedAt);
    try {
      const end = await runAgent(agent, start, offer, config);
      onEnd?.(agent.name, true, elapsed());
      // An agent without a graph has nowhere to leave it but its result.
      const handover = isCommand(end.output) ? handoverIn(end.output) : undefined;
      if (handover !== undefined) return handoverUpdate(options, handover, elapsed());
      return updateOf(options, start.given, end, elapsed());
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

/** What an agent elsewhere makes its input of, it knows there. */
function startElsewhere(offer: TeamOffer): AgentStart {
  return { input: undefined, given: allOf(offer) };
}

async function runAgent(
  agent: Agent,
  { input }: AgentStart,
  offer: TeamOffer,
  config: NodeConfig,
): Promise<MemberEnd> {
  if (agent.isolated !== undefined) return agent.isolated.call(offer, callOptions(agent, config), config);
  const worker: unknown = agent.graph ?? agent.invokable;
  const output = isGraph(worker)
    ? await runPart(agent, worker, input, { ...config, metadata: { ...config.metadata, ...nameOf(agent) } })
    : await call(agent, input, config);
  return endOf(agent, output);
}

function call(agent: Agent, input: unknown, config: NodeConfig): unknown {
  const { invokable } = agent;
  const options = callOptions(agent, config);
  if (!isRemoteGraph(invokable)) return invokable.invoke(input as AgentInput, options);
  const { __pregel_resuming: isResumed, __pregel_resume_map: answers = {} } = config.configurable ?? {};
  const thread_id = remoteThread(config);
  return runRemote({
    graph: invokable,
    options: { ...options, configurable: { ...options.configurable, thread_id } },
    isResumed: isResumed === true,
    isOwnThread: true,
    input: () => input,
    answerTo: ({ id }) =>
      Object.hasOwn(answers as object, id) ? { value: (answers as Answers)[id]! } : undefined,
  });
}

/**
 * Of this turn of the agent alone, the same when it is resumed: on the team's thread its end could not be told from that
 * of another turn. A deployment takes UUIDs.
 */
function remoteThread({ configurable = {} }: NodeConfig): string {
  const { thread_id, checkpoint_ns } = configurable;
  return threadIdOf(`${String(thread_id)} ${String(checkpoint_ns)}`, REMOTE_THREADS);
}

/** The name space of these ids. */
const REMOTE_THREADS = '0b0f0c52-4f0e-4b86-9d0e-2a8f6a4f5d1c';

type Answers = Readonly<Record<string, JsonValue>>;

/** A graph as a part of the one that `config` is from. */
export function runPart(agent: Agent, graph: object, input: unknown, config: object): Promise<unknown> {
  watchNodes(graph as CompiledGraph);
  const part = graph as RunnableGraph & { readonly config?: { readonly recursionLimit?: number } };
  const recursionLimit = agent.recursionLimit ?? part.config?.recursionLimit ?? RECURSION_LIMIT;
  return part.invoke(input, { ...config, recursionLimit } as never);
}

export function endOf({ toResult }: Agent, output: unknown): MemberEnd {
  return toResult === undefined ? { output } : { output, result: toResult(output) };
}

function nameOf({ name }: Agent): { readonly jotty_agent: string } {
  return { jotty_agent: name };
}

function callOptions(
  agent: Agent,
  { configurable = {}, signal, writer, callbacks }: NodeConfig,
): AgentCallOptions {
  const info = configurable.jotty as AttemptInfo | undefined;
  return {
    signal: signal ?? info?.signal ?? new AbortController().signal,
    writer: writer ?? (() => {}),
    ...(callbacks !== undefined && { callbacks: callbacks as object[] }),
    metadata: nameOf(agent),
    configurable: { thread_id: String(configurable.thread_id), jotty: info as AttemptInfo },
  };
}

function updateOf(
  { agent, channels }: TeamNodeOptions,
  given: TeamValues,
  { output, ...end }: MemberEnd,
  ms: number,
): Record<string, unknown> {
  const isRecord = typeof output === 'object' && output !== null && !Array.isArray(output);
  const { made, changes } = madeOf(given, isRecord ? (output as Record<string, unknown>) : {}, channels);
  const result = 'result' in end ? end.result : isRecord ? made : output;
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

/** LangGraph's, known by its shape. */
interface CommandLike {
  readonly lg_name: 'Command';
  readonly goto?: unknown;
  readonly update?: unknown;
}

function isCommand(output: unknown): output is CommandLike {
  return (output as Partial<CommandLike> | null | undefined)?.lg_name === 'Command';
}

/** A `Command` to the parent graph leaves the agent's graph as an error, known by its name. */
function handoverOf(error: unknown): Handover | undefined {
  const { name, command } = (error ?? {}) as { name?: unknown; command?: CommandLike };
  return name !== 'ParentCommand' || typeof command !== 'object' ? undefined : handoverIn(command);
}

/** What is sent with it is for whoever goes on, as the update is. */
function handoverIn({ goto, update }: CommandLike): Handover {
  const targets = goto === undefined ? [] : [goto].flat();
  const sent = targets.map((target) => recordFrom((target as { args?: unknown }).args));
  return { to: targets.map(nodeName), update: Object.assign({}, recordFrom(update), ...sent) };
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
