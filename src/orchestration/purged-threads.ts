import type { TaskQueue } from '../queue/task-queue.ts';
import type { Checkpointer } from './graph.ts';

/**
 * Deletes the threads of purged tasks in a saver the queue knows nothing of: a purged id is new again, and its
 * old thread would be taken for the new task's. Only what is purged while somebody follows, in this process.
 */
export class PurgedThreads {
  readonly #checkpointer: () => Promise<Checkpointer>;
  readonly #followed = new Map<TaskQueue, () => void>();

  constructor(checkpointer: () => Promise<Checkpointer>) {
    this.#checkpointer = checkpointer;
  }

  /** Calling it again for the same queue changes nothing. */
  follow(queue: TaskQueue): void {
    if (this.#followed.has(queue)) return;
    const off = queue.on('threadsPurged', (ids) => void this.#delete(ids));
    this.#followed.set(queue, off);
  }

  stop(): void {
    for (const off of this.#followed.values()) off();
    this.#followed.clear();
  }

  /** What could not be deleted stays; a new task of that id is refused with THREAD_TAKEN. */
  async #delete(ids: readonly string[]): Promise<void> {
    for (const id of ids) await deleteThread(this.#checkpointer, id);
  }
}

/** Deletes a thread nobody will ask for; whether it could is nobody's concern. */
export async function deleteThread(checkpointer: () => Promise<Checkpointer>, id: string): Promise<void> {
  try {
    await (await checkpointer()).deleteThread?.(id);
  } catch {
    // It only takes up space.
  }
}
