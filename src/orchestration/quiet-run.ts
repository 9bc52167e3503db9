import {
  ambientConfig,
  canSetAmbientConfig,
  loadAmbientConfig,
  withoutAmbientConfig,
} from './ambient-config.ts';
import { type CompiledGraph, type GraphOptions, interruptsOf, type RunnableGraph } from './graph.ts';
import { type Hearing, hear, type Loop } from './listening.ts';
import { quietNodes, raceAbort } from './quiet-nodes.ts';

/** The parts of a graph that are used. None is public, so each may be missing. */
interface Quietable {
  readonly config?: { readonly recursionLimit?: number };
  _runLoop?(params: { readonly loop?: Loop }): Promise<void>;
  _streamIterator?(input: unknown, options: object): AsyncGenerator<unknown>;
}

let tracing: Promise<() => boolean> | undefined;

/**
 * Whether a graph that runs here may run by `quietRun`: it is LangGraph's as we know it, nobody has put anything
 * around it, and no trace, callback or other run is around us, by the environment or by the code that called.
 */
export async function canRunQuietly(graph: CompiledGraph): Promise<boolean> {
  tracing ??= loadTracing();
  const isTraced = await tracing;
  const { _runLoop, _streamIterator } = graph as Quietable;
  if (typeof _runLoop !== 'function' || typeof _streamIterator !== 'function') return false;
  const isChanged = CHANGEABLE.some((name) => Object.hasOwn(graph, name));
  return !isChanged && ambientConfig() === undefined && !isTraced();
}

const CHANGEABLE = ['invoke', 'stream', '_streamIterator', '_runLoop'] as const;

async function loadTracing(): Promise<() => boolean> {
  await loadAmbientConfig();
  const { CallbackManager } = await import('@langchain/core/callbacks/manager');
  if (!canSetAmbientConfig()) return () => true;
  return () => CallbackManager.configure() !== undefined;
}

/**
 * What `graph.invoke` does, by the same loop, without what it puts around it: four streams that lead the values of each
 * step to whoever called, where the last is wanted, and a trace for each part of a node. That is half of a short run.
 * `graph` is the run's own clone.
 */
export function quietRun(
  graph: RunnableGraph,
  input: unknown,
  options: GraphOptions,
  hearing: Hearing | undefined,
): Promise<unknown> {
  const values = new LatestValues();
  const { config, _runLoop: runLoop } = graph as Quietable;
  const quiet = Object.assign(Object.create(Object.getPrototypeOf(graph)) as Quietable, graph, {
    nodes: quietNodes(graph as unknown as CompiledGraph),
    _runLoop(this: Quietable, params: { readonly loop?: Loop }): Promise<void> {
      if (params.loop !== undefined) hear(params.loop, hearing, values.take);
      return runLoop!.call(this, params);
    },
  });
  const { recursionLimit = config?.recursionLimit } = options;
  const run = withoutAmbientConfig(() =>
    drained(
      quiet._streamIterator!(input, {
        ...options,
        ...(recursionLimit !== undefined && { recursionLimit }),
        outputKeys: graph.outputChannels,
        streamMode: [],
      }),
    ),
  );
  return raceAbort(run, options.signal).then(() => values.result);
}

async function drained(chunks: AsyncGenerator<unknown>): Promise<void> {
  for await (const _ of chunks);
}

/** What `invoke` makes of the values that the loop tells. */
class LatestValues {
  #latest: unknown;
  #interrupts: unknown[] | undefined;

  readonly take = (values: unknown): void => {
    const found = interruptsOf(values);
    if (found === undefined) this.#latest = values;
    else this.#interrupts = [...(this.#interrupts ?? []), ...found];
  };

  get result(): unknown {
    if (this.#interrupts === undefined) return this.#latest;
    return { ...(this.#latest as object | undefined), __interrupt__: this.#interrupts };
  }
}
