import assert from 'node:assert/strict';
import type { NewTask, Task, TaskStatus } from '../../queue/task.ts';
import type { DequeueOptions, TaskFilter, TaskQueue } from '../../queue/task-queue.ts';

/** So many, with the ids `<prefix>1` and so on. */
export function tasks(prefix: string, count: number, task: Partial<NewTask> = {}): NewTask[] {
  return Array.from({ length: count }, (_, i) => ({ payload: {}, id: `${prefix}${i + 1}`, ...task }));
}

/** Dequeues one task and demands that there was one. */
export async function take(queue: TaskQueue, filter?: TaskFilter, options?: DequeueOptions): Promise<Task> {
  const task = await queue.dequeue(filter, options);
  assert.ok(task, 'a task was dequeued');
  return task;
}

export function takeStarted(queue: TaskQueue, filter?: TaskFilter): Promise<Task> {
  return take(queue, filter, { start: true });
}

export async function read(queue: TaskQueue, id: string): Promise<Task> {
  const task = await queue.getTask(id);
  assert.ok(task, `${id} is there`);
  return task;
}

/** Enqueues, takes and completes a task. */
export async function complete(queue: TaskQueue, id: string, result: unknown = 'done'): Promise<Task> {
  return queue.settle(await takeStarted(queue, { ids: [id] }), { status: 'completed', result });
}

/** Ends a task as failed for good. */
export async function fail(queue: TaskQueue, id: string): Promise<Task> {
  const error = new Error('out of luck');
  return queue.settle(await takeStarted(queue, { ids: [id] }), { status: 'failed', error, retry: false });
}

/** Demands a refusal with this code. */
export async function refused(
  promise: Promise<unknown>,
  code: string,
): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof Error);
    const refusal = error as Error & Record<string, unknown>;
    assert.equal(refusal.code, code, refusal.message);
    return refusal;
  }
  return assert.fail(`expected a refusal with ${code}`);
}

export async function statusOf(queue: TaskQueue, id: string): Promise<TaskStatus | undefined> {
  return (await queue.getTask(id))?.status;
}

export async function takenIds(queue: TaskQueue, filter?: TaskFilter): Promise<string[]> {
  return (await queue.dequeueMany(100, filter)).map((task) => task.id);
}

/** The ending events of a task's history. */
export async function endings(queue: TaskQueue, id: string): Promise<string[]> {
  const ends = ['completed', 'failed', 'cancelled', 'skipped'];
  return (await queue.history(id)).map((event) => event.to as string).filter((to) => ends.includes(to));
}
