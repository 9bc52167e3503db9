import type { CompiledGraph } from './graph.ts';
import { duringRun } from './run-body.ts';
import { giveCallbacks } from './run-callbacks.ts';

type NodeFunction = (input: unknown, config: unknown) => unknown;

/** The parts of a compiled graph's nodes that are looked at. Not all are public, so each may be missing. */
interface Watchable {
  readonly nodes?: Readonly<Record<string, Node>>;
  readonly builder?: { readonly branches?: Readonly<Record<string, object>> };
}
interface Node {
  readonly bound?: Bound | undefined;
  readonly writers?: readonly Bound[] | undefined;
}
interface Bound extends Watchable {
  func?: unknown;
  readonly lg_is_pregel?: unknown;
  /** These two are LangGraph's own runnables': the config they call with is the ambient one too. */
  readonly trace?: unknown;
  readonly recurse?: unknown;
  readonly constructor: { readonly lc_name?: () => string; readonly name: string };
}
interface Returned {
  readonly lc_runnable?: unknown;
  withConfig?(config: object): unknown;
}

/** Whether all that is called in a graph is called by functions that are watched. */
const watched = new WeakMap<object, boolean>();

/**
 * From now on the nodes of this graph, and of the graphs among its nodes, are counted as long as their own code runs
 * (see RunBody), and find the callbacks of their run (see giveCallbacks). That is put around their functions in
 * place, once, and changes nothing else: a copy of a node would not do, since those of LangChain have private
 * fields. Returns whether the callbacks find all of the nodes: a chain or a model as a node has them from the graph alone.
 */
export function watchNodes(graph: CompiledGraph): boolean {
  const known = watched.get(graph);
  if (known !== undefined) return known;
  // A graph may be a node of itself.
  watched.set(graph, true);
  const { nodes = {}, builder } = graph as Watchable;
  const areWatched = Object.entries(nodes).map(([name, node]) => {
    const branches = builder?.branches;
    return watchNode(node, branches === undefined || Object.keys(branches[name] ?? {}).length > 0);
  });
  const isWhole = areWatched.every((isWatched) => isWatched);
  watched.set(graph, isWhole);
  return isWhole;
}

/** Each node of a state graph has a branch of LangGraph's own too, which calls nobody and would make the callbacks. */
function watchNode({ bound, writers = [] }: Node, isBranching: boolean): boolean {
  const branches = (isBranching ? writers : []).filter(
    (writer) => writer.constructor.name !== 'ChannelWrite',
  );
  const areWatched = branches.map((branch) => watchFunction(branch, false));
  return areWatched.every((isWatched) => isWatched) && (bound === undefined || watchBound(bound));
}

function watchBound(bound: Bound): boolean {
  if (typeof bound.func === 'function') return watchFunction(bound, true);
  if (bound.lg_is_pregel === true) return watchNodes(bound as unknown as CompiledGraph);
  return bound.constructor.lc_name?.() === 'RunnablePassthrough';
}

function watchFunction(bound: Bound, isCounted: boolean): boolean {
  const known = watched.get(bound);
  if (known !== undefined) return known;
  if (typeof bound.func !== 'function' || Object.isFrozen(bound)) return false;
  const isOwn = typeof bound.trace === 'boolean' && typeof bound.recurse === 'boolean';
  watched.set(bound, isOwn);
  const func = bound.func as NodeFunction;
  bound.func = (input: unknown, config: unknown) => {
    if (isOwn) giveCallbacks(config);
    const result: unknown = func.call(bound, input, config);
    if (!(result instanceof Promise)) return isOwn ? returned(result, config) : result;
    if (isCounted) duringRun(config, result);
    return isOwn ? result.then((value: unknown) => returned(value, config)) : result;
  };
  return isOwn;
}

/** What a node returns to be run in its place is run with the config of the graph. */
function returned(value: unknown, config: unknown): unknown {
  const { lc_runnable, withConfig } = (value ?? {}) as Returned;
  if (lc_runnable !== true || withConfig === undefined) return value;
  const { callbacks } = config as { callbacks?: unknown };
  return callbacks === undefined ? value : withConfig.call(value, { callbacks });
}
