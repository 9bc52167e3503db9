import { expect, test } from 'vitest';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

test('an option given as undefined is one not given', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({
    clock,
    random: () => 0.5,
    leaseMs: undefined,
    timeoutMs: undefined,
    owner: undefined,
    agentTypes: { x: { timeoutMs: undefined } },
    retry: { initialInterval: undefined, jitter: undefined },
  });
  expect(queue.leaseMs).toBe(30_000);
  await queue.enqueue({
    payload: {},
    id: 'a',
    priority: undefined,
    dependsOn: undefined,
    retry: { jitter: undefined },
  });
  const filter = { agentType: undefined, priorityMin: undefined, ids: undefined, runnableBy: undefined };
  const task = await queue.dequeue(filter, { start: undefined });
  expect(task?.status).toBe('assigned');
  const failed = await queue.settle(task!, { status: 'failed', error: 'x', retry: undefined });
  expect(failed.runAt).toBe(clock.now() + 375);
  const query = { status: undefined, metadata: undefined, createdAfter: undefined, cursor: undefined };
  expect((await queue.listTasks({ ...query, limit: undefined })).tasks).toHaveLength(1);
  await queue.updateStatus('a', 'cancelled', { reason: undefined, metadata: undefined });
  const ended = await queue.waitFor('a', { signal: undefined, timeoutMs: undefined });
  expect(ended.status).toBe('cancelled');
});
