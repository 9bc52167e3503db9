import type { TaskQueue } from '../queue/task-queue.ts';
import { readTasks } from './batch.ts';
import { readDefinition, removeDefinition } from './workflow-definition.ts';
import { taskIdOf } from './workflow-membership.ts';

const READ_TASKS = 100;

/** Removes the plans of workflows when the last of their tasks is purged by this queue object. */
export function followPurgedWorkflows(queue: TaskQueue): () => void {
  // A plan that could not be removed only takes up space.
  return queue.on('purged', (ids) => void forget(queue, ids).catch(() => {}));
}

async function forget(queue: TaskQueue, purged: readonly string[]): Promise<void> {
  const prefixes = purged.filter((id) => id.includes(':')).map((id) => id.slice(0, id.indexOf(':')));
  for (const id of new Set(prefixes)) if (await isGone(queue, id)) await removeDefinition(queue, id);
}

/** The last tasks are asked for first, since they end last. */
async function isGone(queue: TaskQueue, id: string): Promise<boolean> {
  const definition = await readDefinition(queue, id);
  if (definition === null) return false;
  const ids = definition.tasks.map(({ ref }) => taskIdOf(id, ref)).reverse();
  for (let from = 0; from < ids.length; from += READ_TASKS) {
    const tasks = await readTasks(queue, ids.slice(from, from + READ_TASKS));
    if (tasks.some((task) => task !== null)) return false;
  }
  return true;
}
