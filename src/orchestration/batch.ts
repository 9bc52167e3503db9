import { setMaxListeners } from 'node:events';
import { InvalidOptionError } from '../errors.ts';
import { isEnded, TASK_STATUSES, type Task, type TaskStatus } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { KeepAlive } from './keep-alive.ts';

/** So many tasks are asked for at a time. */
const READ_TASKS = 500;

export interface BatchWaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** For all of them together, ms. @default Infinity */
  readonly timeoutMs?: number | undefined;
}

export interface BatchProgress {
  readonly total: number;
  readonly ended: number;
  readonly counts: Readonly<Record<TaskStatus, number>>;
  /** Ids that are not there: purged, or never enqueued. */
  readonly missing: number;
}

/** Some tasks taken together, e.g. those of one `enqueueGoals`. */
export class Batch {
  readonly ids: readonly string[];
  readonly #queue: TaskQueue;
  readonly #keepAlive: KeepAlive;

  /** @throws InvalidOptionError */
  constructor(ids: readonly string[], queue: TaskQueue, keepAlive: KeepAlive) {
    if (!Array.isArray(ids)) throw new InvalidOptionError('ids', 'a list of ids', ids);
    const wrong = ids.findIndex((id) => typeof id !== 'string');
    if (wrong >= 0) throw new InvalidOptionError(`ids[${wrong}]`, 'an id', ids[wrong]);
    this.ids = [...new Set(ids)];
    this.#queue = queue;
    this.#keepAlive = keepAlive;
  }

  /**
   * The tasks in the order of their ids once all have ended, in whatever way. Rejects with TaskNotFoundError,
   * TimeoutError or the signal's reason.
   */
  waitAll(options: BatchWaitOptions = {}): Promise<Task[]> {
    return this.#waiting(options, (waits) => Promise.all(waits));
  }

  /** The first task that has ended, in whatever way. Rejects as `waitAll` does. */
  async waitFirst(options: BatchWaitOptions = {}): Promise<Task> {
    if (this.ids.length === 0) throw new InvalidOptionError('ids', 'at least one id to wait for', 'none');
    return this.#waiting(options, (waits) => Promise.race(waits));
  }

  async progress(): Promise<BatchProgress> {
    const counts = Object.fromEntries(TASK_STATUSES.map((status) => [status, 0])) as Record<
      TaskStatus,
      number
    >;
    const tasks = await readTasks(this.#queue, this.ids);
    for (const task of tasks) if (task !== null) counts[task.status] += 1;
    const ended = TASK_STATUSES.filter(isEnded).reduce((sum, status) => sum + counts[status], 0);
    return { total: this.ids.length, ended, counts, missing: tasks.filter((task) => task === null).length };
  }

  /** Whatever comes first, nobody waits on for the others. */
  async #waiting<T>(
    { signal, timeoutMs }: BatchWaitOptions,
    join: (waits: readonly Promise<Task>[]) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const over = new AbortController();
    setMaxListeners(0, over.signal);
    const abort = () => over.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const waits = this.ids.map((id) => this.#queue.waitFor(id, { signal: over.signal, timeoutMs }));
    for (const wait of waits) wait.catch(() => {});
    try {
      return await this.#keepAlive.during(join(waits));
    } finally {
      signal?.removeEventListener('abort', abort);
      over.abort(new Error('nobody waits for it any more'));
    }
  }
}

/** In the order of the ids; null for what is not there. */
export async function readTasks(queue: TaskQueue, ids: readonly string[]): Promise<(Task | null)[]> {
  const tasks: (Task | null)[] = [];
  for (let from = 0; from < ids.length; from += READ_TASKS) {
    const slice = ids.slice(from, from + READ_TASKS);
    tasks.push(...(await Promise.all(slice.map((id) => queue.getTask(id)))));
  }
  return tasks;
}
