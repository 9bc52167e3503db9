import type { BaseChannel } from '@langchain/langgraph';
import { InvalidTaskError, TooLargeError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { toPriority } from '../queue/priority.ts';
import { foldChannel } from './fold-channel.ts';
import type { Goal } from './goal.ts';

/** A sub-task of a graph that needs no queue: what a goal says, and how it stands. */
export type DequeTask<Input extends object = object, Result = JsonValue> = Omit<
  Goal,
  'id' | 'input' | 'priority'
> & {
  /** Names it within its deque. */
  readonly ref: string;
  readonly input?: Input;
  /** 1–10, 10 first. */
  readonly priority: number;
  readonly status: 'pending' | 'taken' | 'completed';
  readonly result?: Result;
};

/** What is added: a goal, or its text. A `ref` that is there already changes nothing. */
export type NewDequeTask<Input extends object = object> =
  | string
  | (Omit<Goal, 'id' | 'input'> & { readonly ref?: string; readonly input?: Input });

/** In the order they were added, those that are completed too. */
export type TaskDeque<Input extends object = object, Result = JsonValue> = readonly DequeTask<
  Input,
  Result
>[];

/** What a node writes to the channel; done in the order of these fields. */
export interface DequeUpdate<Input extends object = object, Result = JsonValue> {
  readonly add?: readonly NewDequeTask<Input>[];
  /** Results by ref. */
  readonly complete?: Readonly<Record<string, Result>>;
  /** Refs that become pending again. */
  readonly release?: readonly string[];
  /** So many of the pending become taken, the most urgent first. */
  readonly take?: number;
}

/** Tasks that one deque holds, completed ones included. They are all in each checkpoint that changes them. */
export const DEQUE_TASKS_MAX = 10_000;

/**
 * A channel of tasks that a graph carries in its own state, checkpointed with it:
 * `Annotation.Root({ tasks: taskDeque() })`. A node writes `{ tasks: { take: 3 } }`, a conditional edge behind it
 * `taken(tasks).map((task) => new Send('work', task))`, and the node `work` `{ tasks: { complete: { [ref]: result } } }`.
 * What is too much for one run goes into the queue by `enqueueChildren(config, pending(tasks))`.
 *
 * Its updates throw InvalidTaskError for a ref that is not there, InvalidOptionError for a priority that is none,
 * TooLargeError beyond DEQUE_TASKS_MAX.
 */
export function taskDeque<Input extends object = object, Result = JsonValue>(): BaseChannel<
  TaskDeque<Input, Result>,
  DequeUpdate<Input, Result>,
  TaskDeque<Input, Result>
> {
  const fold = (current: TaskDeque | undefined, update: DequeUpdate) => folded(current ?? [], update);
  return foldChannel<TaskDeque, DequeUpdate>(fold, () => []) as never;
}

/** The tasks nobody has taken, the most urgent first; of the same priority, as they were added. */
export function pending<Input extends object, Result>(
  deque: TaskDeque<Input, Result>,
): DequeTask<Input, Result>[] {
  return deque.filter(({ status }) => status === 'pending').sort((a, b) => b.priority - a.priority);
}

/** The tasks that are being worked on. */
export function taken<Input extends object, Result>(
  deque: TaskDeque<Input, Result>,
): DequeTask<Input, Result>[] {
  return deque.filter(({ status }) => status === 'taken');
}

/** The tasks that have results. */
export function completed<Input extends object, Result>(
  deque: TaskDeque<Input, Result>,
): DequeTask<Input, Result>[] {
  return deque.filter(({ status }) => status === 'completed');
}

/** What a task of a deque is in the queue: the goal alone. */
export function goalOfDeque(task: Goal | DequeTask): Goal {
  if (!('ref' in task)) return task;
  const { ref: _ref, status: _status, result: _result, ...goal } = task;
  return goal;
}

function folded(
  deque: TaskDeque,
  { add = [], complete = {}, release = [], take = 0 }: DequeUpdate,
): TaskDeque {
  const tasks = new Map(deque.map((task) => [task.ref, task]));
  for (const task of add) place(tasks, task);
  for (const [ref, result] of Object.entries(complete)) change(tasks, ref, { status: 'completed', result });
  for (const ref of release)
    if (tasks.get(ref)?.status !== 'completed') change(tasks, ref, { status: 'pending' });
  for (const { ref } of pending([...tasks.values()]).slice(0, take)) change(tasks, ref, { status: 'taken' });
  return [...tasks.values()];
}

function place(tasks: Map<string, DequeTask>, given: NewDequeTask): void {
  const { ref = `${tasks.size + 1}`, ...task } = typeof given === 'string' ? { goal: given } : given;
  if (tasks.has(ref)) return;
  if (tasks.size >= DEQUE_TASKS_MAX)
    throw new TooLargeError('deque', 'DEQUE_TASKS_MAX', DEQUE_TASKS_MAX, tasks.size + 1, 'tasks');
  tasks.set(ref, {
    ...task,
    ref,
    priority: toPriority(task.priority ?? 'medium', 'deque.priority'),
    status: 'pending',
  });
}

function change(tasks: Map<string, DequeTask>, ref: string, to: Partial<DequeTask>): void {
  const task = tasks.get(ref);
  if (task === undefined) throw new InvalidTaskError(`deque.${ref}`, 'there is no such task in the deque');
  tasks.set(ref, { ...task, ...to });
}
