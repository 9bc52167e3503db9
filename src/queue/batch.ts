import { setMaxListeners } from 'node:events';
import { InvalidOptionError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { isEnded, TASK_STATUSES, type Task, type TaskStatus } from './task.ts';
import type { TaskQueue } from './task-queue.ts';

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

type Reads = Pick<TaskQueue, 'waitFor' | 'getTask'>;

/** Some tasks taken together, e.g. those of several `enqueueMany`. */
export class Batch {
  readonly ids: readonly string[];
  readonly #queue: Reads;

  /** @throws InvalidOptionError */
  constructor(ids: readonly string[], queue: Reads) {
    if (!Array.isArray(ids)) throw new InvalidOptionError('ids', 'a list of ids', ids);
    const wrong = ids.findIndex((id) => typeof id !== 'string');
    if (wrong >= 0) throw new InvalidOptionError(`ids[${wrong}]`, 'an id', ids[wrong]);
    this.ids = [...new Set(ids)];
    this.#queue = queue;
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
    options: BatchWaitOptions,
    join: (waits: readonly Promise<Task>[]) => Promise<T>,
  ): Promise<T> {
    const { signal, timeoutMs } = requireOptions(options, 'an object');
    signal?.throwIfAborted();
    const over = new AbortController();
    setMaxListeners(0, over.signal);
    const abort = () => over.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const waits = this.ids.map((id) => this.#queue.waitFor(id, { signal: over.signal, timeoutMs }));
    for (const wait of waits) wait.catch(() => {});
    try {
      return await join(waits);
    } finally {
      signal?.removeEventListener('abort', abort);
      over.abort(new Error('nobody waits for it any more'));
    }
  }
}

/** The ids of tasks that were enqueued together, in their order: a list with the verbs of a batch. */
export type EnqueuedTasks = string[] & Pick<Batch, 'waitAll' | 'waitFirst' | 'progress'>;

/** The verbs are no entries: what is done with the list, as JSON or in a comparison, knows the ids alone. */
export function enqueued(ids: string[], queue: Reads): EnqueuedTasks {
  const batch = () => new Batch(ids, queue);
  return Object.defineProperties(ids, {
    waitAll: { value: (options?: BatchWaitOptions) => batch().waitAll(options) },
    waitFirst: { value: (options?: BatchWaitOptions) => batch().waitFirst(options) },
    progress: { value: () => batch().progress() },
  }) as EnqueuedTasks;
}

/** In the order of the ids; null for what is not there. */
export async function readTasks(
  queue: Pick<TaskQueue, 'getTask'>,
  ids: readonly string[],
): Promise<(Task | null)[]> {
  const tasks: (Task | null)[] = [];
  for (let from = 0; from < ids.length; from += READ_TASKS) {
    const slice = ids.slice(from, from + READ_TASKS);
    tasks.push(...(await Promise.all(slice.map((id) => queue.getTask(id)))));
  }
  return tasks;
}
