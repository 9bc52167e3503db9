import type { JsonValue } from '../json.ts';

/**
 * How a compiled LangGraph graph is known. It is a shape and not a class, since an app may have its own copy
 * of LangGraph, and `instanceof` would fail there. That it has `invoke`, `stream` and `getState` goes without
 * saying; named here, they would spoil the types of an agent written as `{ invoke: async (input) => … }`.
 */
export interface CompiledGraph {
  readonly lg_is_pregel: boolean;
  readonly channels: object;
}

/** The same graph with the methods callable: `CompiledGraph` accepts every graph, this one is used. */
export interface RunnableGraph {
  readonly channels: Readonly<Record<string, unknown>>;
  readonly nodes: Readonly<Record<string, unknown>>;
  readonly outputChannels: string | readonly string[];
  readonly interruptBefore?: readonly string[] | '*';
  readonly interruptAfter?: readonly string[] | '*';
  readonly checkpointer?: unknown;
  invoke(input: unknown, options: GraphOptions): Promise<unknown>;
  stream(input: unknown, options: GraphOptions): Promise<AsyncIterable<unknown>>;
  updateState(config: GraphConfig, values: object, asNode?: string): Promise<unknown>;
  getState(config: GraphConfig, options?: { readonly subgraphs?: boolean }): Promise<GraphState>;
}

export interface GraphConfig {
  readonly configurable: Readonly<Record<string, unknown>>;
}

export interface GraphOptions extends GraphConfig {
  readonly signal: AbortSignal;
  readonly durability?: 'sync' | 'async' | 'exit';
  readonly control?: RunControl;
  readonly recursionLimit?: number;
  readonly callbacks?: object;
  readonly streamMode?: readonly string[];
  readonly subgraphs?: boolean;
  readonly writer?: (chunk: unknown) => void;
}

/** The part of a StateSnapshot that is read. */
export interface GraphState {
  readonly values: unknown;
  readonly next: readonly string[];
  readonly tasks: readonly GraphTask[];
  /** undefined where the thread has no checkpoint. */
  readonly createdAt?: string | undefined;
  readonly config: GraphConfig;
  readonly parentConfig?: GraphConfig | undefined;
}

export interface GraphTask {
  readonly id: string;
  readonly name: string;
  readonly interrupts: readonly GraphInterruption[];
  readonly state?: GraphState | GraphConfig | undefined;
}

/** An interrupt as LangGraph reports it. */
export interface GraphInterruption {
  readonly id?: string;
  readonly value?: unknown;
}

/** What Jotty needs of a checkpoint saver. */
export interface Checkpointer {
  getTuple(config: GraphConfig): Promise<CheckpointRecord | undefined>;
  deleteThread?(threadId: string): Promise<void>;
}

export interface CheckpointRecord {
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly checkpoint: {
    readonly channel_values?: Readonly<Record<string, unknown>>;
    readonly channel_versions: Readonly<Record<string, number | string>>;
    readonly versions_seen: Readonly<Record<string, Readonly<Record<string, number | string>>>>;
  };
  readonly pendingWrites?: readonly (readonly [taskId: string, channel: string, value: unknown])[];
}

/**
 * Asks a graph to stop at its next superstep, with its checkpoint saved. LangGraph reads these two
 * properties of its own RunControl and nothing else, so a run needs no import of LangGraph for it.
 */
export class RunControl {
  #reason: string | undefined;
  #listeners: Set<(reason: string) => void> | undefined;

  requestDrain(reason: string): void {
    this.#reason = reason;
    for (const listener of this.#listeners ?? []) listener(reason);
  }

  /** Tells of the request, also of one made before, where a graph runs elsewhere. Returns how to take it back. */
  onDrain(listener: (reason: string) => void): () => void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    if (this.#reason !== undefined) listener(this.#reason);
    return () => void this.#listeners?.delete(listener);
  }

  get drainRequested(): boolean {
    return this.#reason !== undefined;
  }

  get drainReason(): string | undefined {
    return this.#reason;
  }
}

/** A local graph, whose channels can be seen. A RemoteGraph keeps its own checkpoints and is run like a function. */
export function isGraph(value: unknown): value is CompiledGraph {
  if (typeof value !== 'object' || value === null) return false;
  const graph = value as Partial<CompiledGraph & RunnableGraph>;
  return (
    graph.lg_is_pregel === true && typeof graph.channels === 'object' && typeof graph.invoke === 'function'
  );
}

/** A shallow clone that writes to `checkpointer`; the app's own graph stays as it is. */
export function withCheckpointer(graph: CompiledGraph, checkpointer: unknown): RunnableGraph {
  return Object.assign(Object.create(Object.getPrototypeOf(graph)), graph, { checkpointer });
}

/**
 * The channels a submitter can write: those of the graph's input schema where it has one, else all but
 * LangGraph's internal ones. A compiled StateGraph passes on nothing else of its input.
 */
export function inputChannels(graph: CompiledGraph): ReadonlySet<string> {
  const all = Object.keys(graph.channels).filter((name) => !name.startsWith('__') && !name.includes(':'));
  const { builder } = graph as { readonly builder?: GraphBuilder };
  const schema = builder?._schemaDefinitions?.get?.(builder._inputDefinition);
  if (typeof schema !== 'object' || schema === null) return new Set(all);
  return new Set(all.filter((name) => Object.hasOwn(schema, name)));
}

/** What a StateGraph keeps of its schemas. Not public in LangGraph 1.7, so each part may be missing. */
interface GraphBuilder {
  readonly _inputDefinition?: unknown;
  readonly _schemaDefinitions?: { get?(definition: unknown): unknown };
}

/** The values that `invoke` would have returned for this state. */
export function outputOf(graph: RunnableGraph, values: unknown): unknown {
  const names = graph.outputChannels;
  if (typeof values !== 'object' || values === null || typeof names === 'string') return values;
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name)));
}

/** The interrupts of a result, undefined where the run was not interrupted. */
export function interruptsOf(result: unknown): readonly GraphInterruption[] | undefined {
  if (typeof result !== 'object' || result === null || !Object.hasOwn(result, '__interrupt__'))
    return undefined;
  const interrupts = (result as Record<string, unknown>).__interrupt__;
  return Array.isArray(interrupts) ? (interrupts as GraphInterruption[]) : undefined;
}

/** `{ [id]: answer }` as the command that answers exactly those interrupts. */
export async function resumeCommand(answers: Readonly<Record<string, JsonValue>>): Promise<unknown> {
  const { Command } = await import('@langchain/langgraph');
  return new Command({ resume: answers });
}
