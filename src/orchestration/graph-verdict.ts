import { InvalidOptionError, JottyError } from '../errors.ts';
import type { Checkpointer, CheckpointRecord, GraphConfig, GraphState, RunnableGraph } from './graph.ts';
import { GRAPH_KEY } from './graph-fingerprint.ts';
import { subgraphState } from './questions.ts';

/** An unfinished thread of another version of the graph, as `migrate` gets it. */
export interface OldThread {
  readonly threadId: string;
  /** All that is stored, by channel, also of channels that the graph no longer has. */
  readonly values: Readonly<Record<string, unknown>>;
  /** What of it the graph here has no place for: nodes it stands at, values, tasks on their way. */
  readonly lost: readonly string[];
  /** The hash of the version that wrote it; undefined where that is not known. */
  readonly from: string | undefined;
  readonly to: string;
}

/** Where a thread goes on: as if `after` had just returned `values`. `__start__`: from the beginning. */
export interface Migration {
  readonly after: string;
  readonly values?: object;
}

/** null: it stays as it is, and waits for a worker that has its version. */
export type Migrate = (thread: OldThread) => Migration | null | Promise<Migration | null>;

/**
 * `same`: written by this version, or `compatible`: nothing that the thread needs is missing · `migrate`: it was, and
 * the agent's function has moved the thread.
 */
export type GraphVerdict = 'same' | 'compatible' | 'migrate';

/** The thread stands where the graph here has nothing: run on, it would end with part of its result. */
export class GraphChangedError extends JottyError {
  readonly lost: readonly string[];

  constructor(threadId: string, agent: string, lost: readonly string[]) {
    super(
      'GRAPH_CHANGED',
      `thread ${threadId} needs ${lost.join(', ')}, which agent ${agent} here no longer has; ` +
        'it waits for a worker with its version, or for an agent with `migrate`',
    );
    this.lost = lost;
  }
}

export interface JudgedRun {
  readonly graph: RunnableGraph;
  readonly checkpointer: Checkpointer;
  readonly agent: string;
  readonly threadId: string;
  /** The hash of the graph here. */
  readonly fingerprint: string;
  /** With the run's fence. */
  readonly config: GraphConfig;
  readonly migrate: Migrate | undefined;
}

/** Whether the graph here may go on with what another version of it may have left. @throws GraphChangedError */
export async function judgeGraph(
  run: JudgedRun,
  saved: CheckpointRecord,
  state: GraphState,
): Promise<GraphVerdict> {
  const from: unknown = saved.metadata?.[GRAPH_KEY];
  if (from === run.fingerprint) return 'same';
  const lost = await lostOf(run, saved, state);
  if (lost.length === 0) return 'compatible';
  const thread = {
    threadId: run.threadId,
    values: valuesOf(saved),
    lost,
    from: typeof from === 'string' ? from : undefined,
    to: run.fingerprint,
  };
  const migration = (await run.migrate?.(thread)) ?? null;
  if (migration === null) throw new GraphChangedError(run.threadId, run.agent, lost);
  await move(run, migration);
  return 'migrate';
}

async function move({ graph, agent, config }: JudgedRun, { after, values = {} }: Migration): Promise<void> {
  if (!Object.hasOwn(graph.nodes, after))
    throw new InvalidOptionError(`agents.${agent}.migrate().after`, 'a node of the graph', after);
  await graph.updateState(config, values, after);
}

async function lostOf(run: JudgedRun, saved: CheckpointRecord, state: GraphState): Promise<string[]> {
  const lost = lostWork(run.graph, saved);
  const isAsking = saved.pendingWrites?.some(([, channel]) => channel === '__interrupt__') ?? false;
  if (lost.length === 0 && isAsking && state.tasks.length === 0) lost.push('the node of an open question');
  if (state.tasks.length === 0 || lost.length > 0) return lost;
  const full = await run.graph.getState(run.config, { subgraphs: true });
  return lostInside(run.checkpointer, run.graph, full);
}

/** A graph inside keeps checkpoints of its own, and would look finished just the same. */
async function lostInside(
  checkpointer: Checkpointer,
  graph: RunnableGraph,
  state: GraphState,
): Promise<string[]> {
  const lost: string[] = [];
  for (const task of state.tasks) {
    const within = subgraphState(task);
    const subgraph = (graph.nodes[task.name] as { subgraphs?: readonly RunnableGraph[] } | undefined)
      ?.subgraphs?.[0];
    if (within === undefined || subgraph?.nodes === undefined) continue;
    const saved = await checkpointer.getTuple(within.config);
    if (saved === undefined) continue;
    lost.push(...lostWork(subgraph, saved).map((what) => `${what} inside ${task.name}`));
    lost.push(...(await lostInside(checkpointer, subgraph, within)));
  }
  return lost;
}

const BRANCH = 'branch:to:';
const SENT = '__pregel_tasks';

function lostWork(graph: RunnableGraph, { checkpoint }: CheckpointRecord): string[] {
  const { channel_values: values = {}, channel_versions: versions, versions_seen: seen } = checkpoint;
  const lost = Object.keys(values).flatMap((channel) => {
    if (channel.startsWith(BRANCH)) {
      const node = channel.slice(BRANCH.length);
      return seen[node]?.[channel] === versions[channel] ? [] : [node];
    }
    return channel === SENT ? sentTo(values[channel]) : [];
  });
  const nodes = [...new Set(lost)].filter((node) => !Object.hasOwn(graph.nodes, node));
  const channels = Object.entries(values)
    .filter(([channel, value]) => isKept(channel, value) && !Object.hasOwn(graph.channels, channel))
    .map(([channel]) => channel);
  return [...nodes.map((node) => `node ${node}`), ...channels.map((channel) => `channel ${channel}`)];
}

function sentTo(packets: unknown): string[] {
  if (!Array.isArray(packets)) return [];
  return packets
    .map((packet: { node?: unknown } | null) => packet?.node)
    .filter((node) => typeof node === 'string');
}

/** A value of the state, or some of the nodes that another waits for. */
function isKept(channel: string, value: unknown): boolean {
  if (channel.startsWith('join:')) return Array.isArray(value) && value.length > 0;
  return value !== undefined && !channel.startsWith('__') && !channel.includes(':');
}

function valuesOf({
  checkpoint: { channel_values: values = {} },
}: CheckpointRecord): Record<string, unknown> {
  const own = ([channel]: [string, unknown]) => !channel.startsWith('__') && !channel.includes(':');
  return Object.fromEntries(Object.entries(values).filter(own));
}
