import { ambientConfig } from './ambient-config.ts';
import type { RunnableGraph } from './graph.ts';

type OnChunk = (namespace: readonly string[], mode: string, chunk: unknown) => void;
type Chunk = readonly [namespace: readonly string[], mode: string, chunk: unknown];

/** Who hears the chunks of these modes. */
export interface Hearing {
  readonly modes: readonly string[];
  readonly onChunk: OnChunk;
}

/** The parts of a graph and its loop that are used. None is public, so each may be missing. */
interface Listenable {
  _runLoop?(params: { readonly loop?: Loop }): Promise<void>;
}
export interface Loop {
  readonly stream?: Stream;
  readonly tasks?: Readonly<Record<string, LoopTask>>;
  readonly checkpointNamespace?: readonly string[];
  config?: { configurable?: Readonly<Record<string, unknown>> };
  /** Prepares the next step; false at the end. */
  tick?(params: unknown): Promise<boolean>;
}
interface LoopTask {
  readonly id: string;
  readonly name: string;
  readonly config?: { readonly tags?: readonly string[] };
}
interface Stream {
  readonly modes: Set<string>;
  push(chunk: Chunk): void;
}

/** Where a graph within a graph finds the stream of the one around it. */
const STREAM_KEY = '__pregel_stream';

/**
 * The graph with somebody who hears the chunks of these modes at once, where the loop tells them. LangGraph's own
 * way leads each of them through four streams, which costs a short run a third of its time. What the graph
 * streams beside them goes its usual way. undefined where this LangGraph has another loop.
 */
export function listenedTo(graph: RunnableGraph, hearing: Hearing): RunnableGraph | undefined {
  const { _runLoop: runLoop } = graph as Listenable;
  if (typeof runLoop !== 'function') return undefined;
  return Object.create(graph, {
    _runLoop: {
      value(this: Listenable, params: { readonly loop?: Loop }): Promise<void> {
        if (params.loop !== undefined) hear(params.loop, hearing);
        return runLoop.call(this, params);
      },
    },
  }) as RunnableGraph;
}

/** From now on the chunks of the loop, and of graphs within, are heard; and its values, after each step, by `onValues`. */
export function hear(
  loop: Loop,
  hearing: Hearing | undefined,
  onValues?: ((values: unknown) => void) | undefined,
): void {
  const { stream, config } = loop;
  if (stream === undefined || config === undefined) return;
  const told = new Set(hearing?.modes);
  const push = stream.push.bind(stream);
  const own = new Set(stream.modes);
  stream.push = (chunk) => {
    const [namespace, mode, content] = chunk;
    if (told.has(mode)) hearing?.onChunk(namespace, mode, content);
    if (mode === 'values' && namespace.length === 0) onValues?.(content);
    if (own.has(mode)) push(chunk);
  };
  for (const mode of told) stream.modes.add(mode);
  if (onValues !== undefined) stream.modes.add('values');
  if (hearing === undefined) return;
  if (told.has(STARTS) && !own.has(STARTS) && !own.has('debug')) hearStarts(loop, stream, hearing.onChunk);
  const within: Stream = {
    modes: told,
    // Graphs within tell of each checkpoint beside its values, whoever asked for that.
    push: ([namespace, mode, chunk]) => {
      if (told.has(mode)) hearing.onChunk(namespace, mode, chunk);
    },
  };
  config.configurable = { ...config.configurable, [STREAM_KEY]: within };
}

/** The mode in which a loop tells of its nodes' starts and ends. */
const STARTS = 'tasks';
/** Of nodes that LangGraph keeps to itself. */
const HIDDEN = 'langsmith:hidden';

/**
 * From now on the starts of nodes are told here, with no more than their names. LangGraph gathers them by
 * asynchronous iterators, which is half of what a step costs more with somebody who hears it.
 */
function hearStarts(loop: Loop, { modes }: Stream, onChunk: OnChunk): void {
  const { tick } = loop;
  if (typeof tick !== 'function') return;
  let depth = 0;
  loop.tick = async (params) => {
    depth += 1;
    modes.delete(STARTS);
    try {
      const isGoing = await tick.call(loop, params);
      // A step that is done already is left for the next by a tick within this one.
      if (isGoing && depth === 1) tellStarts(loop, onChunk);
      return isGoing;
    } finally {
      depth -= 1;
      if (depth === 0) modes.add(STARTS);
    }
  };
}

function tellStarts({ tasks = {}, checkpointNamespace = [] }: Loop, onChunk: OnChunk): void {
  for (const { id, name, config } of Object.values(tasks)) {
    if (!config?.tags?.includes(HIDDEN)) onChunk(checkpointNamespace, STARTS, { id, name });
  }
}

/** What a node writes by `config.writer`, with the path of the graph it is in, as LangGraph's own writer tells it. */
export function customWriter(onChunk: OnChunk): (chunk: unknown) => void {
  return (chunk) => {
    const path: unknown = ambientConfig()?.configurable?.checkpoint_ns;
    onChunk(typeof path === 'string' ? path.split('|').slice(0, -1) : [], 'custom', chunk);
  };
}
