import { describe, expect, test } from 'vitest';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { AgentCoordinator, Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { deferred, threeSteps, twoQuestions } from './graphs.ts';

test('a run counts towards its agent only while it lasts, however it ends', async () => {
  await using conductor = new Conductor({
    agents: {
      ask: twoQuestions(),
      fails: { invoke: () => Promise.reject(new Error('no')) },
      hangs: { invoke: () => new Promise<never>(() => {}) },
      works: { invoke: () => 'done' },
    },
  });
  const { coordinator } = conductor;
  await conductor.run('go', { agent: 'works' });
  await expect(conductor.run('go', { agent: 'fails' })).rejects.toThrow('no');
  expect(await conductor.run('go', { agent: 'ask' })).toMatchObject({ status: 'waiting' });
  const controller = new AbortController();
  const hung = conductor.run('go', { agent: 'hangs', signal: controller.signal });
  await expect.poll(() => coordinator.load('hangs')).toBe(1);
  controller.abort(new Error('enough'));
  await expect(hung).rejects.toThrow('enough');
  expect(['works', 'fails', 'ask', 'hangs'].map((name) => coordinator.load(name))).toEqual([0, 0, 0, 0]);
});

test('a run learns from how agents end: the one that fails loses the next run', async () => {
  await using conductor = new Conductor({
    coordinator: new AgentCoordinator({ strategy: 'scored' }),
    agents: {
      bad: { invoke: () => Promise.reject(new Error('no')), capabilities: ['both'] },
      good: { invoke: () => 'done', capabilities: ['both'] },
    },
  });
  await expect(conductor.run('go', { agent: 'bad', agentType: 'both' })).rejects.toThrow('no');
  expect(await conductor.run('go', { agentType: 'both' })).toMatchObject({ agent: 'good' });
});

describe('a thread', () => {
  test('takes one run at a time', async () => {
    const gate = deferred();
    const log: string[] = [];
    const steps = threeSteps(log, { first: () => gate.promise }).compile();
    await using conductor = new Conductor({ agents: { steps } });
    const first = conductor.run('go', { threadId: 't' });
    await expect(conductor.run('go', { threadId: 't' })).rejects.toMatchObject({ code: 'THREAD_BUSY' });
    gate.resolve();
    expect(await first).toMatchObject({ status: 'completed' });
    expect(await conductor.run('again', { threadId: 't' })).toMatchObject({ result: { goal: 'again' } });
  });

  test('of a task somebody works on is refused', async () => {
    await using queue = new MemoryTaskQueue();
    await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() }, queue });
    const id = await conductor.enqueueGoal('go');
    await queue.dequeue({}, { start: true });
    await expect(conductor.run('go', { threadId: id })).rejects.toMatchObject({ code: 'THREAD_BUSY' });
  });

  test('nobody has named is deleted when its run has ended, and kept where it has a name or a question', async () => {
    const checkpointer = new FencedMemorySaver();
    const agents = { steps: threeSteps([]).compile(), ask: twoQuestions() };
    await using conductor = new Conductor({ agents, checkpointer });
    const saved = (thread_id: string) => checkpointer.getTuple({ configurable: { thread_id } });
    const unnamed = await conductor.run('go', { agent: 'steps' });
    expect(await saved(unnamed.threadId)).toBeUndefined();
    await conductor.run('go', { agent: 'steps', threadId: 'mine' });
    expect(await saved('mine')).toBeDefined();
    const asking = await conductor.run('go', { agent: 'ask' });
    expect(await saved(asking.threadId)).toBeDefined();
  });
});

test('what cannot be meant is refused as a rejection, also after close', async () => {
  const conductor = new Conductor({ agents: { works: { invoke: () => 'done' } } });
  await expect(conductor.run('go', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await expect(conductor.run('go', { timeoutMs: Number.NaN })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  });
  await expect(conductor.run('go', { input: ['no keys'] })).rejects.toMatchObject({ code: 'INVALID_TASK' });
  expect(await conductor.run('go', { timeoutMs: Infinity })).toMatchObject({ result: 'done' });
  await conductor.close();
  await expect(conductor.run('go')).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(conductor.cancel('id')).rejects.toMatchObject({ code: 'CLOSED' });
});
