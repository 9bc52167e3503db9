import type { TaskQueue } from '../queue/task-queue.ts';
import type { Checkpointer } from './graph.ts';

/** The saver that was given, else the queue's, else one in memory. */
export async function saverFor(
  given: Checkpointer | undefined,
  queue: TaskQueue | undefined,
): Promise<Checkpointer> {
  if (given !== undefined) return given;
  if (queue !== undefined) return (await queue.checkpointer()) as Checkpointer;
  const { FencedMemorySaver } = await import('../checkpoint/memory-saver.ts');
  return new FencedMemorySaver();
}
