import { InvalidOptionError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import type { Amounts } from '../queue/budget.ts';
import type { Failure } from '../queue/failures.ts';
import type { Task } from '../queue/task.ts';
import { GENERAL_CAPABILITY } from '../queue/workers.ts';
import type { EffectLedger } from './effect-ledger.ts';
import { type Classify, checkPolicy, type FailurePolicy, type OnFailure } from './failure-policy.ts';
import type { Goal } from './goal.ts';
import { type CompiledGraph, inputChannels, isGraph } from './graph.ts';
import type { Migrate } from './graph-verdict.ts';
import { IsolatedAgent } from './isolated-agent.ts';
import {
  checkTeamBudget,
  isModuleAgent,
  isolationOf,
  type ModuleAgent,
  type ModulePlace,
  placeOf,
  teamBudgetOf,
} from './isolation.ts';
import type { WorkflowMembership } from './workflow-membership.ts';

/** What an agent without a graph is called with: the goal, and the keys of the input beside it. */
export interface AgentInput {
  readonly goal?: string;
  readonly [key: string]: JsonValue | undefined;
}

/** What nodes find in `config.configurable.jotty`, and agents without a graph in their second argument. */
export interface AttemptInfo {
  /** Absent in a run without a queue. */
  readonly taskId?: string;
  readonly threadId: string;
  readonly agent: string;
  /** From 1. LangGraph's own `nodeAttempt` restarts at 1 with each run. */
  readonly attempt: number;
  /** Rises with every claim of the task: give it to whatever must refuse a worker that lost its lease. 0 without a queue. */
  readonly fence: number;
  /** Aborted when the run is cancelled, times out or loses its lease. Pass it to whatever takes long. */
  readonly signal: AbortSignal;
  /**
   * Says what the run weighs in truth under the rate of one of its limits, e.g. the tokens used: added up, it takes
   * the place of the weight that was reserved once the attempt has ended. A whole number. Nothing without a queue.
   */
  readonly spend: (key: string, weight: number) => void;
  /** Enqueues children of the task; see `enqueueChildren`. Absent in a run without a queue. */
  readonly children?: (goals: readonly Goal[]) => Promise<string[]>;
  /** How the task's earlier attempts failed, the newest ten, oldest first; empty for the first. */
  readonly failures: readonly Failure[];
  /** The model that a failure's next step named; also in `configurable.model`. */
  readonly model?: string;
  /** Whether the budget of a team is spent; absent where it has none. */
  readonly isSpent?: () => Promise<boolean>;
  /** What `once` records calls in. */
  readonly effects: EffectLedger;
  /** Of a task of a workflow: the results of those dependencies that have completed, by ref. */
  readonly results?: Readonly<Record<string, JsonValue>>;
  readonly workflow?: WorkflowMembership;
}

export interface AgentCallOptions {
  readonly signal: AbortSignal;
  /** Shows a chunk to those who read along, as an event `custom`. */
  readonly writer: (chunk: unknown) => void;
  /** What counts calls of models: a model that is called with these options is metered. */
  readonly callbacks?: object[];
  /** Names the agent of a team to whoever counts. */
  readonly metadata?: Record<string, unknown>;
  readonly configurable: Readonly<Record<string, unknown>> & {
    readonly thread_id: string;
    readonly jotty: AttemptInfo;
  };
}

/**
 * Anything that does the work in one call: a function in an object, a chain. It has no checkpoints. A RemoteGraph has them
 * where it runs: what it has begun goes on there, and what it asks is a question of the task.
 */
export interface InvokableAgent {
  /** Returns the result, or a promise of it. */
  invoke(input: AgentInput, options: AgentCallOptions): unknown;
}

/** What `createAgent()` returns: a wrapper around a graph. */
export interface WrappedGraph {
  readonly graph: CompiledGraph;
}

/** What the queue knows when a graph's input is made. */
export type AgentTask = Pick<Task, 'id' | 'payload' | 'metadata' | 'priority' | 'attempt'> & {
  readonly agentType?: string;
  /** Of a task of a workflow: the results of those dependencies that have completed, by ref. */
  readonly results?: Readonly<Record<string, JsonValue>>;
  readonly workflow?: WorkflowMembership;
};

/** A graph's final values by channel, as far as nobody has said more of them. */
export interface FinalState {
  readonly [channel: string]: unknown;
}

/**
 * Any function. Parameters of functions are compared strictly, so that beside `(state: FinalState) => unknown`
 * only this lets `toResult` name the type of its own graph's state.
 */
export interface ResultFunction {
  readonly call: CallableFunction['call'];
}

/** What may be said of an agent besides the work itself. */
export interface AgentSettings extends FailurePolicy {
  /** The agentTypes it takes, besides its own name. `general` takes every type. @default [] */
  readonly capabilities?: readonly string[] | undefined;
  /** How many tasks it runs at a time in this process. @default unbounded */
  readonly maxConcurrent?: number | undefined;
  readonly description?: string | undefined;
  /** Bounds one attempt, in ms; a task's own timeoutMs wins. @default none */
  readonly timeoutMs?: number | undefined;
  /** Supersteps of one run. @default LangGraph's */
  readonly recursionLimit?: number | undefined;
  /** Makes the graph's input. @default `{ goal, ...input }` on the channels of the same names */
  readonly toInput?: ((task: AgentTask) => unknown) | undefined;
  /**
   * Moves an unfinished thread of another version of the graph, which stands where this one has nothing. Without it,
   * or where it returns null, the task waits for a worker with its version.
   */
  readonly migrate?: Migrate | undefined;
  /** Makes the recorded result of the final state. @default the state's values as JSON */
  readonly toResult?: ((state: FinalState) => unknown) | ResultFunction | undefined;
}

export interface AgentDefinition extends AgentSettings {
  readonly graph: CompiledGraph | WrappedGraph | InvokableAgent;
}

/** `{ invoke, … }` with the settings beside it. Objects of LangChain have fields of their own and are taken as they are. */
export type InvokableDefinition = InvokableAgent & AgentSettings;

/** Several agents as one; see `staticAgent` and `dynamicAgent`. Its graph is made when it first runs. */
export interface ComposedAgent extends AgentSettings {
  readonly compose: () => Promise<CompiledGraph>;
  /** The keys its input may have; undefined where any. */
  readonly inputs: ReadonlySet<string> | undefined;
  /** What one goal may spend; it ends then. */
  readonly budget?: Amounts | undefined;
  /** Says that one more conductor has it. Returns how that one gives it up: with the last, its threads and processes end. */
  readonly hold?: (() => () => Promise<void>) | undefined;
}

export type AgentSource =
  | ModuleAgent
  | ComposedAgent
  | CompiledGraph
  | WrappedGraph
  | InvokableAgent
  | AgentDefinition
  | InvokableDefinition;

/** An agent in one form, whatever it was given as. */
export interface Agent {
  readonly name: string;
  /** undefined where the work is one call without checkpoints. */
  readonly graph: CompiledGraph | undefined;
  /** Makes the graph, of an agent that is composed of others. */
  readonly compose?: () => Promise<CompiledGraph>;
  readonly invokable: InvokableAgent;
  /** Ends what it keeps running, of an agent that is composed of others. */
  readonly release?: (() => Promise<void>) | undefined;
  /** What runs it outside of this thread; undefined where nothing does. */
  readonly isolated?: IsolatedAgent | undefined;
  /** Loads what it is, where it was given by the name of a module. */
  readonly load?: (() => Promise<Agent>) | undefined;
  /** The name is the first one. */
  readonly capabilities: readonly string[];
  readonly maxConcurrent: number;
  readonly description: string;
  readonly timeoutMs: number | undefined;
  readonly recursionLimit: number | undefined;
  readonly toInput: ((task: AgentTask) => unknown) | undefined;
  readonly toResult: ((state: unknown) => unknown) | undefined;
  readonly migrate: Migrate | undefined;
  readonly classify: Classify | undefined;
  readonly onFailure: OnFailure | undefined;
  /** The channels its input may name; undefined without a graph. */
  readonly inputs: ReadonlySet<string> | undefined;
  /** What one goal may spend, of a team that ends then. */
  readonly budget?: Amounts | undefined;
}

/** @throws InvalidOptionError where it is neither a graph nor anything with `invoke`. */
export function agentFrom(name: string, source: AgentSource): Agent {
  if (isComposed(source)) return composedFrom(name, source);
  if (isModuleAgent(source)) return moduleFrom(name, source);
  const definition = definitionOf(name, source);
  checkPolicy(`agents.${name}`, definition);
  const worker = unwrap(definition.graph);
  if (!isInvokable(worker)) {
    throw new InvalidOptionError(
      `agents.${name}`,
      'a compiled graph, or an object with invoke()',
      typeof worker,
    );
  }
  const graph =
    isGraph(worker) && (worker as { checkpointer?: unknown }).checkpointer !== false ? worker : undefined;
  return {
    graph,
    invokable: worker,
    inputs: isGraph(worker) ? inputChannels(worker) : undefined,
    ...settingsOf(name, definition),
  };
}

function isComposed(source: AgentSource): source is ComposedAgent {
  return typeof (source as Partial<ComposedAgent> | null)?.compose === 'function';
}

function composedFrom(name: string, source: ComposedAgent): Agent {
  const { compose, inputs, budget } = source;
  const invokable = { invoke: () => Promise.reject(new Error(`agent ${name} runs as a graph`)) };
  return {
    graph: undefined,
    compose,
    invokable,
    inputs,
    release: source.hold?.(),
    ...(budget !== undefined && { budget }),
    ...settingsOf(name, source),
  };
}

/** Of an agent whose module is not loaded here nothing is known but its settings. */
function moduleFrom(name: string, source: ModuleAgent): Agent {
  checkPolicy(`agents.${name}`, source);
  const place = placeOf(name, source);
  const isolation = isolationOf(name, source);
  const team = teamBudgetOf(name, source);
  const settings = { graph: undefined, inputs: undefined, ...settingsOf(name, source), ...team };
  const invokable = { invoke: () => Promise.reject(new Error(`agent ${name} runs where its module is`)) };
  if (isolation !== undefined)
    return { ...settings, isolated: new IsolatedAgent(place, isolation), invokable };
  let loading: Promise<Agent> | undefined;
  const load = () => {
    loading ??= loadAgent(name, place).then((agent) => {
      checkTeamBudget(name, agent.budget !== undefined, source.budget !== undefined);
      return { ...agent, ...settingsOf(name, { ...agent, ...source }) };
    });
    return loading;
  };
  return { ...settings, load, invokable };
}

/** @throws InvalidOptionError where the module exports no such agent. */
export async function loadAgent(name: string, place: ModulePlace): Promise<Agent> {
  const module = (await import(place.url)) as Readonly<Record<string, AgentSource | undefined>>;
  const source = module[place.export];
  if (source === undefined)
    throw new InvalidOptionError(`agents.${name}.export`, `an export of ${place.url}`, place.export);
  return agentFrom(name, source);
}

/** Whether its runs have checkpoints, or may have. */
export function isResumable({ graph, compose, isolated, load }: Agent): boolean {
  return (graph ?? compose ?? isolated ?? load) !== undefined;
}

function settingsOf(name: string, definition: AgentSettings) {
  return {
    name,
    capabilities: [...new Set([name, ...(definition.capabilities ?? [])])],
    maxConcurrent: positive(
      `agents.${name}.maxConcurrent`,
      definition.maxConcurrent ?? Number.POSITIVE_INFINITY,
    ),
    description: definition.description ?? '',
    timeoutMs:
      definition.timeoutMs === undefined
        ? undefined
        : positive(`agents.${name}.timeoutMs`, definition.timeoutMs),
    recursionLimit: definition.recursionLimit,
    toInput: definition.toInput,
    migrate: definition.migrate,
    classify: definition.classify,
    onFailure: definition.onFailure,
    toResult: definition.toResult as ((state: unknown) => unknown) | undefined,
  };
}

export function matchesType(agent: Agent, agentType: string | undefined): boolean {
  return (
    agentType === undefined ||
    agent.capabilities.includes(agentType) ||
    agent.capabilities.includes(GENERAL_CAPABILITY)
  );
}

function definitionOf(name: string, source: AgentSource): AgentDefinition {
  if (typeof source !== 'object' || source === null) {
    throw new InvalidOptionError(`agents.${name}`, 'a compiled graph, or { graph, … }', source);
  }
  if (!isInvokable(source)) return source as AgentDefinition;
  if (isLangChains(source)) return { graph: source };
  const { capabilities, maxConcurrent, description, timeoutMs, toInput, toResult, classify, onFailure } =
    source as InvokableDefinition;
  return {
    graph: source,
    capabilities,
    maxConcurrent,
    description,
    timeoutMs,
    toInput,
    toResult,
    classify,
    onFailure,
  };
}

function isLangChains(source: object): boolean {
  const { lc_runnable, lg_is_pregel } = source as { lc_runnable?: unknown; lg_is_pregel?: unknown };
  return lc_runnable === true || lg_is_pregel === true;
}

function unwrap(source: unknown): unknown {
  const inner: unknown =
    typeof source === 'object' && source !== null ? (source as { graph?: unknown }).graph : undefined;
  return !isGraph(source) && isGraph(inner) ? inner : source;
}

function isInvokable(value: unknown): value is InvokableAgent {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { invoke?: unknown }).invoke === 'function'
  );
}

function positive(option: string, value: number): number {
  if (!(value > 0)) throw new InvalidOptionError(option, 'a number above 0', value);
  return value;
}

/** The goal and the input of a task. A payload without `goal` is the input itself. */
export function goalAndInput(payload: JsonObject): {
  readonly goal: string | undefined;
  readonly input: JsonObject;
} {
  if (typeof payload.goal !== 'string') return { goal: undefined, input: payload };
  const { goal, input, ...rest } = payload;
  if (input === undefined || input === null) return { goal, input: rest };
  if (typeof input !== 'object' || Array.isArray(input)) return { goal, input: { ...rest, input } };
  return { goal, input: { ...rest, ...(input as JsonObject) } };
}
