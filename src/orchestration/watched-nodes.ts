import type { CompiledGraph } from './graph.ts';
import { duringRun } from './run-body.ts';

type NodeFunction = (input: unknown, config: unknown) => unknown;

/** The parts of a compiled graph's nodes that are looked at. Not all are public, so each may be missing. */
interface Watchable {
  readonly nodes?: Readonly<Record<string, { readonly bound?: Bound | undefined }>>;
}
interface Bound extends Watchable {
  func?: unknown;
  readonly lg_is_pregel?: unknown;
}

const watched = new WeakSet<object>();

/**
 * From now on the nodes of this graph, and of the graphs among its nodes, are counted as long as their own code runs
 * (see RunBody). That is put around their functions in place, once, and changes nothing else: a copy of a node
 * would not do, since those of LangChain have private fields.
 */
export function watchNodes(graph: CompiledGraph): void {
  if (watched.has(graph)) return;
  watched.add(graph);
  for (const { bound } of Object.values((graph as Watchable).nodes ?? {})) {
    if (typeof bound?.func === 'function') watchFunction(bound);
    else if (bound?.lg_is_pregel === true) watchNodes(bound as CompiledGraph);
  }
}

function watchFunction(bound: Bound): void {
  if (watched.has(bound) || Object.isFrozen(bound)) return;
  watched.add(bound);
  const func = bound.func as NodeFunction;
  bound.func = (input: unknown, config: unknown) => {
    const result: unknown = func.call(bound, input, config);
    if (result instanceof Promise) duringRun(config, result);
    return result;
  };
}
