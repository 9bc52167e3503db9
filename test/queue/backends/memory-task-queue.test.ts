import type { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';
import { emptyCheckpoint } from '@langchain/langgraph-checkpoint';
import { expect, test } from 'vitest';
import { MemoryTaskQueue } from '../../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';

test('a purged task takes its checkpoints along, so that its id is new again', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock, retentionMs: 60_000, sweepMs: 5_000 });
  const saver = (await queue.checkpointer()) as BaseCheckpointSaver;
  for (const id of ['old', 'alive']) {
    await queue.enqueue({ payload: {}, id });
    const config = { configurable: { thread_id: id, checkpoint_ns: '' } };
    await saver.put(config, emptyCheckpoint(), { source: 'input', step: 0, parents: {} }, {});
  }
  const task = await queue.dequeue({ ids: ['old'] });
  await queue.settle(task!, { status: 'completed' });
  const purged: string[] = [];
  queue.on('purged', (ids) => purged.push(...ids));
  await clock.advance(70_000);
  expect(purged).toEqual(['old']);
  const threads = async (id: string) => saver.getTuple({ configurable: { thread_id: id } });
  expect(await threads('old')).toBeUndefined();
  expect(await threads('alive')).toBeDefined();
});
