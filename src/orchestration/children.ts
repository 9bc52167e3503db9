import { createHash } from 'node:crypto';
import { InvalidTaskError, JottyError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { readTasks } from '../queue/batch.ts';
import {
  type EndStatus,
  isEnded,
  type Task,
  type TaskAnswer,
  type TaskError,
  type TaskInterrupt,
} from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { AttemptInfo } from './agent.ts';
import type { AttemptEnd } from './attempt.ts';
import type { Goal } from './goal.ts';
import { goalOfDeque } from './task-deque.ts';

/** The config of a node, or the second argument of an agent without a graph. */
export interface RunConfig {
  readonly configurable?: Readonly<Record<string, unknown>> | undefined;
}

/** How a child ended. */
export interface ChildEnd {
  readonly id: string;
  /** `purged`: it ended so long ago that nobody knows how. */
  readonly status: EndStatus | 'purged';
  readonly result?: JsonValue;
  readonly error?: TaskError;
}

/** What a wait for children looks like among the open questions of a task. */
interface ChildrenWait {
  readonly jotty: 'children';
  readonly ids: readonly string[];
}

/** Calls in one execution of a node, so that the same call is known when the node runs again. */
const calls = new WeakMap<object, number>();

const PARENT_CHARS = 90;
const HASH_CHARS = 20;

/**
 * Enqueues goals from within a run: children of its task. They take over priority, limits, fair key and deadline
 * where they say nothing else, and are cancelled with it. A node that runs again, after a crash or an answer, gets
 * the same children: those without an id are known by the node and the order of its calls.
 *
 * @returns the ids. @throws JottyError with code NO_QUEUE in a run without a queue, TooLargeError beyond
 * CHILDREN_MAX of one task or CHILD_DEPTH_MAX generations, LeaseLostError, and what `enqueueGoals` throws.
 */
export async function enqueueChildren(
  config: RunConfig,
  goals: readonly (string | Goal)[],
): Promise<string[]> {
  const { children, taskId } = infoOf(config);
  const { configurable = {} } = config;
  if (!Array.isArray(goals)) throw new InvalidTaskError('tasks', 'expected a list of goals');
  const call = calls.get(configurable) ?? 0;
  calls.set(configurable, call + 1);
  const place = `${String(configurable.checkpoint_ns ?? '')} ${call}`;
  const withIds = goals.map((given: string | Goal, i) => {
    const goal = typeof given === 'string' ? { goal: given } : goalOfDeque(given);
    return goal.id === undefined ? { ...goal, id: childId(taskId, `${place} ${i}`) } : goal;
  });
  return children(withIds);
}

/**
 * Waits in a node of a graph until these tasks have ended, in whatever way, without holding a slot or a lease: the
 * run stops here, and the node begins anew when they have. What it does before this call is done again, more than once.
 *
 * @returns how each ended, in the order of the ids, each once.
 */
export async function waitForChildren(config: RunConfig, ids: readonly string[]): Promise<ChildEnd[]> {
  infoOf(config);
  if (!Array.isArray(ids) || ids.length === 0) return [];
  const { interrupt } = await import('@langchain/langgraph');
  const wait: ChildrenWait = { jotty: 'children', ids: [...new Set(ids)] };
  return interrupt<ChildrenWait, ChildEnd[]>(wait);
}

/** Whether a question is put to nobody: the task waits for its children. */
export function isChildrenWait({ value }: TaskInterrupt): boolean {
  return waitOf(value) !== null;
}

/** What the task's children have answered: of each wait that is over. */
export async function childrenAnswers(queue: TaskQueue, task: Task): Promise<TaskAnswer[]> {
  const answers: TaskAnswer[] = [];
  for (const { id, value } of task.interrupts ?? []) {
    const wait = waitOf(value);
    if (wait === null) continue;
    const children = await readTasks(queue, wait.ids);
    if (children.some((child) => child !== null && !isEnded(child.status))) continue;
    answers.push({ id, value: wait.ids.map((childId, i) => endOf(childId, children[i] ?? null)) as never });
  }
  return answers;
}

/** The tasks that a run waits for, where it waits for nothing else. */
export function awaitedChildren(end: AttemptEnd): string[] | null {
  if (end.status !== 'waiting' || end.interrupts.length === 0) return null;
  const waits = end.interrupts.map(({ value }) => waitOf(value));
  return waits.every((wait) => wait !== null) ? waits.flatMap(({ ids }) => ids) : null;
}

function waitOf(value: JsonValue): ChildrenWait | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const { jotty, ids } = value as JsonObject;
  const isWait = jotty === 'children' && Array.isArray(ids) && ids.every((id) => typeof id === 'string');
  return isWait ? { jotty, ids: ids as string[] } : null;
}

function endOf(id: string, child: Task | null): ChildEnd {
  if (child === null) return { id, status: 'purged' };
  const { status, result, error } = child;
  return {
    id,
    status: status as EndStatus,
    ...(result !== undefined && { result }),
    ...(status === 'failed' && error !== undefined && { error }),
  };
}

function infoOf(config: RunConfig | null | undefined) {
  const { children, taskId } = (config?.configurable?.jotty ?? {}) as Partial<AttemptInfo>;
  if (children === undefined || taskId === undefined)
    throw new JottyError(
      'NO_QUEUE',
      'only the run of a queued task has children; pass the config that the node is called with',
    );
  return { children, taskId };
}

/** The id of a child that is known by its place within its parent. */
export function childId(parentId: string, place: string): string {
  const hash = createHash('sha256').update(`${parentId}\n${place}`).digest('hex').slice(0, HASH_CHARS);
  return `${parentId.slice(0, PARENT_CHARS)}.${hash}`;
}
