import { createHash } from 'node:crypto';
import type { CompiledGraph } from './graph.ts';

/** Where a checkpoint's metadata says which version of its graph wrote it. */
export const GRAPH_KEY = 'jotty_graph';
/** Which agent wrote it. */
export const AGENT_KEY = 'jotty_agent';

const HASH_CHARS = 16;
/** Graphs within graphs; deeper ones are taken as they are. */
const DEPTH_MAX = 10;

/** The parts of a compiled graph that say what it is made of. Not all are public, so each may be missing. */
interface GraphParts {
  readonly nodes?: Readonly<Record<string, NodeParts>>;
  readonly channels?: Readonly<Record<string, { readonly lc_graph_name?: unknown }>>;
  readonly builder?: {
    readonly edges?: Iterable<unknown>;
    readonly waitingEdges?: Iterable<unknown>;
    readonly branches?: Readonly<Record<string, Readonly<Record<string, { readonly ends?: unknown }>>>>;
  };
}

interface NodeParts {
  readonly triggers?: readonly string[];
  readonly subgraphs?: readonly GraphParts[];
}

const known = new WeakMap<object, string>();

/** A hash of a graph's nodes, edges and channels, with those of the graphs inside it; made once for each graph. */
export function fingerprintOf(graph: CompiledGraph): string {
  const made = known.get(graph);
  if (made !== undefined) return made;
  const text = JSON.stringify(describe(graph as unknown as GraphParts, 0));
  const hash = createHash('sha256').update(text).digest('hex').slice(0, HASH_CHARS);
  known.set(graph, hash);
  return hash;
}

function describe({ nodes = {}, channels = {}, builder = {} }: GraphParts, depth: number): unknown {
  const { edges = [], waitingEdges = [], branches = {} } = builder;
  return {
    nodes: sorted(
      Object.entries(nodes).map(([name, node]) => [name, sorted(node.triggers ?? []), inner(node, depth)]),
    ),
    channels: sorted(Object.entries(channels).map(([name, channel]) => [name, channel.lc_graph_name])),
    edges: sorted([...edges, ...waitingEdges]),
    branches: sorted(
      Object.entries(branches).map(([from, each]) => [
        from,
        Object.entries(each).map(([name, { ends }]) => [name, ends]),
      ]),
    ),
  };
}

function inner({ subgraphs = [] }: NodeParts, depth: number): unknown[] {
  return depth === DEPTH_MAX ? [] : subgraphs.map((graph) => describe(graph, depth + 1));
}

/** The order in which a graph was put together says nothing. */
function sorted(items: readonly unknown[]): string[] {
  return items.map((item) => JSON.stringify(item)).sort();
}
