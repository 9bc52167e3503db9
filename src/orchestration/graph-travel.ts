import { JottyError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import {
  type Checkpointer,
  type CompiledGraph,
  type GraphConfig,
  type RunnableGraph,
  withCheckpointer,
} from './graph.ts';
import { AGENT_KEY, fingerprintOf } from './graph-fingerprint.ts';
import { toPlainJson } from './plain-result.ts';
import { RunSaver } from './run-saver.ts';

/** LangGraph's name for the node that takes the input; what is written as it is an input. */
const INPUT_NODE = '__input__';
const START_CHANNEL = '__start__';

/** A moment of a task's run to which `rerun` can go back. */
export interface TaskCheckpoint {
  readonly id: string;
  /** The one before it, where that is still kept. */
  readonly parentId?: string;
  /** ms since the epoch */
  readonly createdAt: number;
  /** -1 for the input, 0 before the first nodes, and one more with each superstep. */
  readonly step: number;
  readonly source: 'input' | 'loop' | 'update' | 'fork';
  /** The agent whose graph wrote it, where that is known. */
  readonly agent?: string;
  /** The nodes that would run next; none at the end. */
  readonly next: readonly string[];
  /** The state, as JSON. */
  readonly values: JsonValue;
}

/** What going back takes a graph for, and no more: an isolated agent does it where its graph is. */
export type Travel = Look | List | Update;

/** Only whether there is a graph. */
interface Look {
  readonly to: 'look';
  readonly agent: string;
}
/** The checkpoints of a thread. */
interface List {
  readonly to: 'list';
  readonly threadId: string;
  readonly limit: number;
  readonly before?: string;
}
/** Writes to the state of a thread that was forked at a checkpoint. */
interface Update {
  readonly to: 'update';
  readonly agent: string;
  readonly threadId: string;
  readonly from: string;
  readonly values: object;
}

interface Snapshot {
  readonly values: unknown;
  readonly next: readonly string[];
  readonly config: GraphConfig;
  readonly parentConfig?: GraphConfig | undefined;
  readonly createdAt?: string | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

interface Historic extends RunnableGraph {
  getStateHistory(config: GraphConfig, options: object): AsyncIterable<Snapshot>;
}

/** The checkpoints that were asked for, newest first. */
export async function travelIn(
  graph: CompiledGraph,
  saver: Checkpointer,
  travel: Travel,
): Promise<TaskCheckpoint[]> {
  if (travel.to === 'list') return list(graph, saver, travel);
  if (travel.to === 'update') await update(graph, saver, travel);
  return [];
}

async function list(
  graph: CompiledGraph,
  saver: Checkpointer,
  { threadId, limit, before }: List,
): Promise<TaskCheckpoint[]> {
  const historic = withCheckpointer(graph, saver) as Historic;
  const found: TaskCheckpoint[] = [];
  const options = { limit, ...(before !== undefined && { before: at(threadId, before) }) };
  for await (const snapshot of historic.getStateHistory(at(threadId), options)) found.push(shown(snapshot));
  return found;
}

async function update(graph: CompiledGraph, saver: Checkpointer, fork: Update): Promise<void> {
  const marks = { graph: fingerprintOf(graph), agent: fork.agent, fork: fork.threadId };
  const writer = new RunSaver(saver, undefined, marks);
  const runnable = withCheckpointer(graph, writer.checkpointer);
  const config = at(fork.threadId, fork.from);
  const { next } = await runnable.getState(config);
  if (next.length === 1 && next[0] === START_CHANNEL) {
    const found = await saver.getTuple(config);
    const input = found?.checkpoint.channel_values?.[START_CHANNEL];
    await runnable.updateState(config, { ...(input as JsonObject), ...fork.values }, INPUT_NODE);
  } else await runnable.updateState(config, fork.values);
  await writer.stored();
}

function shown({ values, next, config, parentConfig, createdAt, metadata = {} }: Snapshot): TaskCheckpoint {
  const parentId = parentConfig?.configurable.checkpoint_id;
  const agent = metadata[AGENT_KEY];
  return {
    id: String(config.configurable.checkpoint_id),
    ...(typeof parentId === 'string' && { parentId }),
    createdAt: Date.parse(createdAt ?? ''),
    step: Number(metadata.step),
    source: metadata.source as TaskCheckpoint['source'],
    ...(typeof agent === 'string' && { agent }),
    next,
    values: toPlainJson(values, 'values'),
  };
}

export function at(threadId: string, checkpointId?: string): GraphConfig {
  const id = checkpointId === undefined ? {} : { checkpoint_id: checkpointId };
  return { configurable: { thread_id: threadId, checkpoint_ns: '', ...id } };
}

/** @returns JottyError with code NO_GRAPH. */
export function noGraph(agent: string | undefined): JottyError {
  const who = agent === undefined ? 'no agent has run it' : `agent ${agent} is not here, or is no graph`;
  return new JottyError('NO_GRAPH', `the task cannot be travelled in: ${who}`);
}
