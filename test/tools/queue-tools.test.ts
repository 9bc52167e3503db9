import { AIMessage, type BaseMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { createAgent } from 'langchain';
import { expect, test, vi } from 'vitest';
import { type AgentCallOptions, Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { queueTools } from '../../src/tools/index.ts';
import { CountingModel } from '../orchestration/counting-model.ts';

type Call = readonly [name: string, args: Record<string, unknown>];

/** An agent whose model makes these calls, step by step; each step sees what the tools have returned. */
function calling(queue: MemoryTaskQueue, steps: readonly ((said: unknown[]) => readonly Call[])[]) {
  let model = fakeModel();
  for (const [i, step] of steps.entries()) {
    model = model.respond((messages: BaseMessage[]) => {
      const said = messages
        .filter((message) => message.type === 'tool')
        .map(({ content }) => JSON.parse(String(content)));
      const calls = step(said).map(([name, args], n) => ({
        name,
        args,
        id: `call-${i}-${n}`,
        type: 'tool_call' as const,
      }));
      return new AIMessage({ content: '', tool_calls: calls });
    });
  }
  return createAgent({ model: model.respond(new AIMessage('done')), tools: queueTools({ queue }) });
}

const part = {
  invoke: ({ goal }: { goal?: string }) => goal?.toUpperCase(),
  capabilities: ['part'],
};

const idOf = (said: unknown) => (said as { id: string }).id;

test('an agent enqueues tasks, waits for them without a slot, and reads their results', async () => {
  const queue = new MemoryTaskQueue();
  const lead = calling(queue, [
    () => [
      ['enqueue_task', { goal: 'one', agentType: 'part', priority: 10 }],
      ['enqueue_task', { goal: 'two', agent: 'part' }],
    ],
    (said) => [['wait_for_tasks', { ids: said.map(idOf) }]],
    (said) => [['look_up_task', { id: idOf(said[0]) }]],
  ]);
  await using conductor = new Conductor({ agents: { lead, part }, queue });
  await conductor.enqueueGoal('go', {
    id: 'p',
    agent: 'lead',
    priority: 7,
    limits: [{ key: 'acme', max: 1 }],
  });
  const counts = await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
  expect(counts).toMatchObject({ completed: 3, failed: 0 });
  const { messages } = await conductor.result<{ messages: { type: string; content: string }[] }>('p');
  const said = messages.filter(({ type }) => type === 'tool').map(({ content }) => JSON.parse(content));
  expect(said[2]).toMatchObject([
    { status: 'completed', result: 'ONE' },
    { status: 'completed', result: 'TWO' },
  ]);
  expect(said[3]).toMatchObject({ status: 'completed', result: 'ONE' });
  const { children = [] } = (await queue.getTask('p'))!;
  expect(children).toHaveLength(2);
  // Its limits, and never more urgent than it.
  expect(await queue.getTask(children[0]!)).toMatchObject({ priority: 7, limits: [{ key: 'acme' }] });
  await queue.close();
});

test('what an agent enqueues shares its budget', async () => {
  const queue = new MemoryTaskQueue();
  const lead = calling(queue, [
    () => [
      ['enqueue_task', { goal: 'one', agent: 'child' }],
      ['enqueue_task', { goal: 'two', agent: 'child' }],
    ],
    (said) => [['wait_for_tasks', { ids: said.map(idOf) }]],
  ]);
  const model = new CountingModel();
  const child = {
    invoke: async (_: object, { callbacks }: AgentCallOptions) => {
      await model.invoke('go', { callbacks } as never);
      return 'made';
    },
  };
  await using conductor = new Conductor({ agents: { lead, child }, queue });
  const refusals = vi.spyOn(console, 'error').mockImplementation(() => {});
  await conductor.enqueueGoal('go', { id: 'p', agent: 'lead', budget: { modelCalls: 3 } });
  await conductor.processQueue({ untilEmpty: true });
  // Two of the lead's, one of a child's.
  expect(model.calls).toBe(1);
  expect((await conductor.inbox()).entries).toMatchObject([
    { kind: 'budget', value: { taskId: 'p', reached: 'modelCalls' } },
  ]);
  await conductor.budget('p').raise({ modelCalls: 9 });
  await conductor.processQueue({ untilEmpty: true });
  expect((await queue.getTask('p'))?.status).toBe('completed');
  expect(await conductor.usage({ taskId: 'p' })).toMatchObject({ modelCalls: 5, own: { modelCalls: 3 } });
  refusals.mockRestore();
  await queue.close();
});

test('an agent can neither see nor cancel what is not its own, and is told what it did wrong', async () => {
  const queue = new MemoryTaskQueue();
  const lead = calling(queue, [
    () => [['enqueue_task', { goal: 'mine', agent: 'nobody' }]],
    (said) => [
      ['look_up_task', { id: 'other' }],
      ['cancel_task', { id: 'other' }],
      ['wait_for_tasks', { ids: ['other'] }],
      ['cancel_task', { id: idOf(said[0]), reason: 'not needed' }],
    ],
  ]);
  await using conductor = new Conductor({ agents: { lead }, queue });
  await conductor.enqueueGoal('secret', { id: 'other', agent: 'nobody' });
  await conductor.enqueueGoal('go', { id: 'p', agent: 'lead' });
  await conductor.processQueue({ untilEmpty: true });
  const { messages } = await conductor.result<{ messages: { type: string; content: string }[] }>('p');
  const said = messages.filter(({ type }) => type === 'tool').map(({ content }) => JSON.parse(content));
  // A worker that has it may come: it is told, and decides.
  expect(said[0]).toMatchObject({ warning: 'no agent here takes it', agents: [{ name: 'lead' }] });
  const refused = { error: expect.stringContaining('there is no task other') };
  expect(said.slice(1)).toEqual([
    refused,
    refused,
    refused,
    expect.objectContaining({ status: 'cancelled' }),
  ]);
  expect(await queue.getTask('other')).toMatchObject({ status: 'pending' });
  await queue.close();
});

test('a tool call that runs again after a crash makes no second task', async () => {
  const queue = new MemoryTaskQueue({ retry: { initialInterval: 0, jitter: false } });
  const [enqueue] = queueTools({ queue });
  let failures = 1;
  const lead = {
    invoke: async (_: unknown, config: object) => {
      const call = {
        name: 'enqueue_task',
        args: { goal: 'one', agent: 'part' },
        id: 'call',
        type: 'tool_call',
      };
      await enqueue!.invoke(call, config);
      if (failures-- > 0) throw new Error('crash');
    },
  };
  await using conductor = new Conductor({ agents: { lead, part }, queue });
  await conductor.enqueueGoal('go', { id: 'p', agent: 'lead' });
  await conductor.processQueue({ untilEmpty: true });
  expect((await queue.stats()).counts).toMatchObject({ completed: 2, failed: 0 });
  await queue.close();
});

test('outside of a queued run there is nothing to work with', async () => {
  await using queue = new MemoryTaskQueue();
  const inputs = [{ goal: 'x' }, { ids: ['x'] }, { id: 'x' }, { id: 'x' }];
  for (const [i, each] of queueTools({ queue }).entries()) {
    await expect(each.invoke(inputs[i] as never)).rejects.toMatchObject({ code: 'NO_QUEUE' });
  }
});
