import { expect, test } from 'vitest';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { threeSteps } from './graphs.ts';

test("a purged task's thread is deleted from the app's own saver: its id is new again", async () => {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock, retentionMs: 1_000 });
  const checkpointer = new FencedMemorySaver();
  const log: string[] = [];
  const conductor = new Conductor({
    agents: { steps: threeSteps(log).compile() },
    queue,
    checkpointer,
  });
  for (const goal of ['one', 'two']) {
    await conductor.enqueueGoal(goal, { id: 'same' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result('same')).toMatchObject({ goal });
    await clock.advance(10_000);
    expect(await queue.getTask('same')).toBeNull();
    expect(await checkpointer.getTuple({ configurable: { thread_id: 'same' } })).toBeUndefined();
  }
  expect(log).toHaveLength(6);
  await conductor.close();
  await queue.close();
  expect(clock.timers).toBe(0);
});

test('a thread that is there before the first claim is not taken for the task: it fails for good', async () => {
  await using queue = new MemoryTaskQueue();
  const checkpointer = new FencedMemorySaver();
  const log: string[] = [];
  await using conductor = new Conductor({
    agents: { steps: threeSteps(log).compile() },
    queue,
    checkpointer,
  });
  await conductor.run('another', { threadId: 'taken' });
  await conductor.enqueueGoal('go', { id: 'taken' });
  await conductor.processQueue({ untilEmpty: true });
  expect(await queue.getTask('taken')).toMatchObject({
    status: 'failed',
    retryCount: 0,
    error: { code: 'THREAD_TAKEN', message: expect.stringContaining('thread taken holds checkpoints') },
  });
  expect(log).toHaveLength(3);
});

test('the saver of a conductor is a saver to everybody: a thread can be listed and deleted', async () => {
  await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() } });
  await conductor.run('go', { threadId: 'mine' });
  const saver = await conductor.checkpointer;
  const listed: unknown[] = [];
  for await (const { config } of saver.list({ configurable: { thread_id: 'mine' } })) listed.push(config);
  expect(listed.length).toBeGreaterThan(3);
  await saver.deleteThread('mine');
  expect(await saver.getTuple({ configurable: { thread_id: 'mine' } })).toBeUndefined();
});
