import { isEnded, type Task, type TaskStatus } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';

const LIVE: readonly TaskStatus[] = ['in_progress', 'assigned', 'retrying', 'pending'];
const PAGE_TASKS = 1_000;

/**
 * Whether anything is left that this conductor could run: pending (delayed too), assigned, running or
 * retrying, in any process. What waits for a person does not count, nor what can only go on after that or
 * after a task that no agent here runs: nothing done here could ever end it.
 */
export async function hasWorkLeft(queue: TaskQueue, mayRun: (task: Task) => boolean): Promise<boolean> {
  const blocked: Task[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.listTasks({
      status: LIVE,
      limit: PAGE_TASKS,
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const task of page.tasks.filter(mayRun)) {
      if (task.blockedBy.length === 0) return true;
      blocked.push(task);
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  const stuck = new StuckTasks(queue, mayRun);
  for (const task of blocked) if (!(await stuck.has(task))) return true;
  return false;
}

/** Tasks that cannot go on before a person or another conductor has done something, directly or further up. */
class StuckTasks {
  readonly #queue: TaskQueue;
  readonly #mayRun: (task: Task) => boolean;
  readonly #known = new Map<string, boolean>();

  constructor(queue: TaskQueue, mayRun: (task: Task) => boolean) {
    this.#queue = queue;
    this.#mayRun = mayRun;
  }

  async has(task: Task): Promise<boolean> {
    const known = this.#known.get(task.id);
    if (known !== undefined) return known;
    const stuck = !isEnded(task.status) && (this.#isElsewhere(task) || (await this.#isBehindOne(task)));
    this.#known.set(task.id, stuck);
    return stuck;
  }

  #isElsewhere(task: Task): boolean {
    return task.status === 'waiting' || !this.#mayRun(task);
  }

  async #isBehindOne(task: Task): Promise<boolean> {
    for (const id of task.blockedBy) {
      const dependency = await this.#queue.getTask(id);
      if (dependency !== null && (await this.has(dependency))) return true;
    }
    return false;
  }
}
