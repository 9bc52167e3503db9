import type { Task, TaskStatus } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';

/**
 * Resolves with the task as soon as it is in `status`, also when it is already. Event-driven: it sees the
 * transitions made through this queue object. Throws the signal's reason.
 */
export async function waitForStatus(
  queue: TaskQueue,
  id: string,
  status: TaskStatus,
  signal?: AbortSignal,
): Promise<Task> {
  const cleanup: (() => void)[] = [];
  const seen = new Promise<void>((resolve, reject) => {
    cleanup.push(
      queue.on('transition', (event) => {
        if (event.taskId === id && event.to === status) resolve();
      }),
    );
    if (!signal) return;
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    cleanup.push(() => signal.removeEventListener('abort', abort));
    if (signal.aborted) abort();
  });
  seen.catch(() => {});
  try {
    // Looked at only after listening: a transition in between would go unnoticed.
    const task = await queue.getTask(id);
    if (task?.status === status) return task;
    await seen;
    return (await queue.getTask(id))!;
  } finally {
    for (const undo of cleanup) undo();
  }
}
