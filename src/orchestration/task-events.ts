import { TaskNotFoundError } from '../errors.ts';
import { isEnded, type TaskEvent } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { EventBuffer, type RunEvent, type RunEventHub } from './run-events.ts';
import { Wakeup } from './wakeup.ts';

/** How often the history is looked at where no hint of a change came, ms. */
const POLL_MS = 1_000;

/**
 * A task's transitions, from the first, whichever process made them; between them, what its nodes do while it
 * runs in this process. Ends with the task's end. A reader that stops early leaves nothing behind.
 *
 * @throws TaskNotFoundError
 */
export async function* taskEvents(
  queue: TaskQueue,
  hub: RunEventHub,
  taskId: string,
): AsyncGenerator<RunEvent> {
  const buffer = new EventBuffer();
  const wakeup = new Wakeup(queue.clock);
  const reading = { isOver: false };
  const undo = [
    hub.subscribe(taskId, buffer),
    queue.on('available', () => wakeup.notify()),
    queue.on('transition', (event) => {
      if (event.taskId === taskId) wakeup.notify();
    }),
  ];
  const follow = followHistory(queue, taskId, buffer, wakeup, reading);
  try {
    for (let event = await buffer.next(); event !== null; event = await buffer.next()) yield event;
  } finally {
    reading.isOver = true;
    wakeup.notify();
    for (const off of undo) off();
    await follow;
  }
}

async function followHistory(
  queue: TaskQueue,
  taskId: string,
  buffer: EventBuffer,
  wakeup: Wakeup,
  reading: { readonly isOver: boolean },
): Promise<void> {
  let seen = 0;
  while (!reading.isOver) {
    try {
      const history = await queue.history(taskId);
      if (history.length === 0) throw new TaskNotFoundError(taskId);
      const news = history.filter((event) => event.seq > seen);
      for (const event of news) buffer.push(transition(event));
      seen = history.at(-1)!.seq;
      if (isEnded(history.at(-1)!.to)) return buffer.end();
    } catch (error) {
      // While the store is away the reader waits; any other refusal is the reader's.
      if ((error as { code?: unknown }).code !== 'STORE_UNAVAILABLE') return buffer.end(error);
    }
    await wakeup.wait(POLL_MS);
  }
}

function transition(event: TaskEvent): RunEvent {
  return { type: 'transition', ...event };
}
