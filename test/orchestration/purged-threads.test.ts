import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, test } from 'vitest';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { redisClock } from '../redis/redis-clock.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { backends } from './backends.ts';
import { threeSteps } from './graphs.ts';

const redis = sharedRedis();
const { open, place } = backends();

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

describe.each(['memory', 'sqlite', 'redis', 'hybrid'] as const)(
  'threads that tasks share, on %s',
  (backend) => {
    const State = Annotation.Root({
      goal: Annotation<string>,
      said: Annotation<string[]>({ reducer: (left, right) => [...left, ...right], default: () => [] }),
    });
    const talk = () =>
      new StateGraph(State)
        .addNode('turn', ({ goal }) => ({ said: [goal] }))
        .addEdge(START, 'turn')
        .compile();

    test.each([false, true])('go with the last of their tasks; own saver of the app: %s', async (isApps) => {
      const clock = backend === 'memory' || backend === 'sqlite' ? new FakeClock() : redisClock(redis);
      await using queue = open(backend, place(), { clock, retentionMs: 10_000, sweepMs: 100 });
      await using conductor = new Conductor({
        agents: { talk: talk() },
        queue,
        ...(isApps && { checkpointer: new FencedMemorySaver() }),
      });
      const turn = async (goal: string) => {
        await conductor.enqueueGoal(goal, { id: goal, threadId: 'talk' });
        await conductor.processQueue({ untilEmpty: true });
        return (await conductor.result<{ said: string[] }>(goal)).said;
      };
      const later = async (id: string) => {
        await clock.advance(100);
        return queue.getTask(id);
      };
      const isThere = async () => {
        const saver = await conductor.checkpointer;
        return (await saver.getTuple({ configurable: { thread_id: 'talk' } })) !== undefined;
      };
      expect(await turn('one')).toEqual(['one']);
      await clock.advance(6_000);
      expect(await turn('two')).toEqual(['one', 'two']);
      await clock.advance(6_000);
      await expect.poll(() => later('one')).toBeNull();
      expect(await isThere(), 'a task that is kept was on it').toBe(true);
      await conductor.enqueueGoal('three', { id: 'three', threadId: 'talk' });
      await clock.advance(6_000);
      await expect.poll(() => later('two')).toBeNull();
      expect(await isThere(), 'a task that waits will go on from it').toBe(true);
      await conductor.processQueue({ untilEmpty: true });
      expect((await conductor.result<{ said: string[] }>('three')).said).toEqual(['one', 'two', 'three']);
      await clock.advance(20_000);
      await expect.poll(() => later('three')).toBeNull();
      await expect.poll(() => later('three').then(isThere)).toBe(false);
      expect(await turn('four')).toEqual(['four']);
    });
  },
);
