import { v7 as newTaskId } from 'uuid';
import { InvalidOptionError, JottyError, TaskNotFoundError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { THREAD_LIMIT } from '../queue/limits.ts';
import type { NewTask, Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { AgentHost } from './agent-host.ts';
import type { Checkpointer, CheckpointRecord, GraphConfig } from './graph.ts';
import { AGENT_KEY } from './graph-fingerprint.ts';
import { at, noGraph, type TaskCheckpoint, type Travel, travelIn } from './graph-travel.ts';
import { FORK_KEY } from './run-saver.ts';
import { namedThreadOf } from './shared-thread.ts';

export type { TaskCheckpoint } from './graph-travel.ts';

export const CHECKPOINTS_LISTED_MAX = 100;
const LISTED_DEFAULT = 20;
export interface CheckpointsOptions {
  /** 1–100. @default 20 */
  readonly limit?: number | undefined;
  /** The id of a checkpoint: only older ones. */
  readonly before?: string | undefined;
}

export interface RerunOptions {
  /** The id of a checkpoint of the task. */
  readonly from: string;
  /** Written to the state first, as what ran last would have written it; to the input, where that comes next. */
  readonly values?: object | undefined;
  /** Another agent whose graph goes on. @default the one that wrote the checkpoint */
  readonly agent?: string | undefined;
  /** Of the new task; with one, a repeated call changes nothing. @default a UUID v7 */
  readonly id?: string | undefined;
}

interface WritingSaver extends Checkpointer {
  put(config: GraphConfig, checkpoint: object, metadata: object, versions: object): Promise<GraphConfig>;
  putWrites(config: GraphConfig, writes: readonly unknown[], taskId: string): Promise<void>;
}

interface FoundCheckpoint extends CheckpointRecord {
  readonly parentConfig?: GraphConfig | undefined;
}

/**
 * The checkpoints of a task's thread, newest first; those of subgraphs are not among them.
 *
 * @throws TaskNotFoundError; JottyError with code NO_GRAPH; InvalidOptionError.
 */
export async function checkpointsOf(
  host: AgentHost,
  queue: TaskQueue,
  id: string,
  { limit = LISTED_DEFAULT, before }: CheckpointsOptions = {},
): Promise<TaskCheckpoint[]> {
  if (!Number.isInteger(limit) || limit < 1 || limit > CHECKPOINTS_LISTED_MAX)
    throw new InvalidOptionError('limit', `a whole number from 1 to ${CHECKPOINTS_LISTED_MAX}`, limit);
  const task = await find(queue, id);
  const threadId = threadOf(task);
  const saver = await host.checkpointer();
  const latest = await saver.getTuple(at(threadId));
  if (latest === undefined) return [];
  const travel = await travellerOf(host, task, writtenBy(latest));
  const page = { threadId, limit, ...(before !== undefined && { before }) };
  return travel(saver, { to: 'list', ...page });
}

/**
 * A new task that goes on from a checkpoint of another, on a thread of its own: nodes that had finished then do not
 * run again, all later ones do. The old task and its thread stay as they are, and may be purged.
 *
 * What belongs to the old task stays with it: its answers (what the graph asks after the checkpoint it asks again),
 * its calls by `once` (those after the checkpoint are made again), its place in a workflow, and subgraphs that were
 * under way (they begin anew).
 *
 * @throws TaskNotFoundError, also after a purge; JottyError with code CHECKPOINT_NOT_FOUND, NO_GRAPH, or THREAD_TAKEN
 * for an `id` under which something else has left checkpoints.
 */
export async function rerun(
  host: AgentHost,
  queue: TaskQueue,
  id: string,
  options: RerunOptions,
): Promise<string> {
  const { from, values, agent, id: newId = newTaskId() } = requireOptions(options, 'an object with from');
  const task = await find(queue, id);
  const saver = (await host.checkpointer()) as WritingSaver;
  const found: FoundCheckpoint | undefined = await saver.getTuple(at(threadOf(task), from));
  if (found === undefined) throw notFound(id, from);
  const name = agent ?? writtenBy(found) ?? task.assignedAgent;
  const travel = await travellerOf(host, task, name);
  // Whoever wrote the checkpoint has a graph.
  if (agent !== undefined) await travel(saver, { to: 'look', agent });
  const next = forkedTask(task, newId, from, name!);
  queue.validate(next);
  // Once it is there, its thread is its own.
  if ((await queue.getTask(newId)) === null) {
    await copy(saver, threadOf(task), newId, found);
    if (values !== undefined)
      await travel(saver, { to: 'update', agent: name!, threadId: newId, from, values });
  }
  return queue.enqueue(next);
}

function forkedTask(task: Task, id: string, from: string, agent: string): NewTask {
  const { payload, priority, agentType, timeoutMs, idleTimeoutMs, maxRetries, maxCrashes, fairKey } = task;
  const { threadId: _, workflow: __, ...metadata } = task.metadata;
  const limits = (task.limits ?? []).filter(({ key }) => !key.startsWith(THREAD_LIMIT));
  return {
    id,
    payload,
    priority,
    agent,
    maxRetries,
    maxCrashes,
    ...(agentType !== undefined && { agentType }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    ...(fairKey !== undefined && { fairKey }),
    ...(limits.length > 0 && { limits }),
    metadata: { ...metadata, rerunOf: { task: task.id, checkpoint: from } },
  };
}

/** The checkpoint as it is, without what ran after it; with those before it where its channels are made from them. */
async function copy(
  saver: WritingSaver,
  source: string,
  target: string,
  last: FoundCheckpoint,
): Promise<void> {
  const taken = await saver.getTuple(at(target));
  if (taken !== undefined && taken.metadata?.[FORK_KEY] !== target) throw threadTaken(target);
  const chain: FoundCheckpoint[] = [last];
  for (let oldest = last; hasDeltas(oldest) && parentOf(oldest) !== undefined; ) {
    const parent: FoundCheckpoint | undefined = await saver.getTuple(at(source, parentOf(oldest)));
    if (parent === undefined) break;
    chain.push(parent);
    oldest = parent;
  }
  for (const found of chain.reverse()) {
    const { checkpoint, metadata } = found;
    const marked = { ...metadata, [FORK_KEY]: target };
    const parent = found === chain[0] ? undefined : parentOf(found);
    const written = await saver.put(at(target, parent), checkpoint, marked, checkpoint.channel_versions);
    if (found !== last) await copyWrites(saver, written, found);
  }
}

async function copyWrites(
  saver: WritingSaver,
  config: GraphConfig,
  { pendingWrites = [] }: FoundCheckpoint,
): Promise<void> {
  for (const taskId of new Set(pendingWrites.map(([id]) => id))) {
    const own = pendingWrites.filter(([id]) => id === taskId).map(([, channel, value]) => [channel, value]);
    await saver.putWrites(config, own, taskId);
  }
}

/** Their values are made from all the checkpoints before. */
function hasDeltas({ metadata = {} }: FoundCheckpoint): boolean {
  return 'delta_writes_versioned' in metadata || 'counters_since_delta_snapshot' in metadata;
}

async function find(queue: TaskQueue, id: string): Promise<Task> {
  const task = await queue.getTask(id);
  if (task === null) throw new TaskNotFoundError(id);
  return task;
}

/** Goes back in the graph of an agent, where that is. */
async function travellerOf(host: AgentHost, task: Task, name = task.assignedAgent ?? task.agent) {
  const known = name === undefined ? undefined : host.agents.get(name);
  if (known?.isolated !== undefined) {
    const { isolated } = known;
    return (saver: Checkpointer, travel: Travel) => isolated.travel(known.name, saver, travel);
  }
  const agent = known?.load === undefined ? known : await known.load();
  const graph = agent?.compose === undefined ? agent?.graph : await agent.compose();
  if (graph === undefined) throw noGraph(name);
  return (saver: Checkpointer, travel: Travel) => travelIn(graph, saver, travel);
}

function threadOf(task: Task): string {
  return namedThreadOf(task) ?? task.id;
}

function parentOf({ parentConfig }: FoundCheckpoint): string | undefined {
  return parentConfig?.configurable.checkpoint_id as string | undefined;
}

function writtenBy({ metadata }: CheckpointRecord): string | undefined {
  const agent = metadata?.[AGENT_KEY];
  return typeof agent === 'string' ? agent : undefined;
}

function threadTaken(id: string): JottyError {
  return new JottyError('THREAD_TAKEN', `thread ${id} holds checkpoints of another run; use another id`);
}

function notFound(taskId: string, checkpointId: string): JottyError {
  return new JottyError('CHECKPOINT_NOT_FOUND', `task ${taskId} has no checkpoint ${checkpointId}`);
}
