import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { Annotation, END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { createAgent } from 'langchain';
import { describe, expect, test } from 'vitest';
import { Conductor, type RunEvent } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { type State, threeSteps } from './graphs.ts';

const steps = () => threeSteps([]).compile();

describe('a run without a queue', () => {
  test('returns the final state as JSON', async () => {
    await using conductor = new Conductor({ agents: { steps: steps() } });
    const result = await conductor.run('go');
    expect(result).toMatchObject({
      status: 'completed',
      agent: 'steps',
      result: { goal: 'go', notes: ['first', 'second', 'third'] },
    });
  });

  test('asks, and goes on on its thread with the answer', async () => {
    const { twoQuestions } = await import('./graphs.ts');
    await using conductor = new Conductor({ agents: { ask: twoQuestions() } });
    const first = await conductor.run('go', { threadId: 't1' });
    if (first.status !== 'waiting') throw new Error('expected a question');
    const id = first.interrupts[0]!.id;
    const second = await conductor.run('go', { threadId: 't1', answers: { [id]: 'Ada' } });
    if (second.status !== 'waiting') throw new Error('expected a second question');
    expect(second.interrupts[0]).toMatchObject({ value: 'colour?' });
    const answers = { [id]: 'Ada', [second.interrupts[0]!.id]: 'blue' };
    const third = await conductor.run('go', { threadId: 't1', answers });
    expect(third).toMatchObject({ status: 'completed', result: { answer: 'Ada likes blue' } });
  });

  test('refuses an unfinished thread of another goal, and takes a new goal on a finished one', async () => {
    let broken = true;
    const graph = threeSteps([], {
      second: () => {
        if (broken) throw new Error('broken');
      },
    }).compile();
    await using conductor = new Conductor({ agents: { steps: graph } });
    await expect(conductor.run('one', { threadId: 't' })).rejects.toThrow('broken');
    await expect(conductor.run('two', { threadId: 't' })).rejects.toMatchObject({ code: 'INVALID_TASK' });
    broken = false;
    await expect(conductor.run('one', { threadId: 't' })).resolves.toMatchObject({ status: 'completed' });
    await expect(conductor.run('two', { threadId: 't' })).resolves.toMatchObject({ result: { goal: 'two' } });
  });

  test('stops at once when its signal is aborted, and leaves no listener on it', async () => {
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    await using conductor = new Conductor({
      agents: { steps: steps(), hang: { invoke: () => new Promise<never>(() => {}) } },
    });
    for (let i = 0; i < 5; i++) await conductor.run('go', { agent: 'steps', signal });
    expect(listeners).toBe(0);
    const hung = conductor.run('go', { agent: 'hang', signal });
    controller.abort(new Error('enough'));
    await expect(hung).rejects.toThrow('enough');
  });

  test('streams what its nodes do, and ends with the result', async () => {
    const graph = threeSteps([], {
      second: (_state, config) => {
        (config as { writer?: (chunk: unknown) => void }).writer?.({ percent: 50 });
      },
    }).compile();
    await using conductor = new Conductor({ agents: { steps: graph } });
    const events: RunEvent[] = [];
    for await (const event of conductor.stream('go')) events.push(event);
    expect(
      events.filter(({ type }) => type === 'update').map((event) => 'node' in event && event.node),
    ).toEqual(['first', 'second', 'third']);
    expect(events).toContainEqual(expect.objectContaining({ type: 'custom', data: { percent: 50 } }));
    expect(events.at(-1)).toMatchObject({ type: 'completed', result: { goal: 'go' } });
  });

  test('refuses what no agent takes', async () => {
    await using conductor = new Conductor({ agents: { steps: steps() } });
    await expect(conductor.run('go', { agent: 'nobody' })).rejects.toMatchObject({ code: 'INVALID_TASK' });
    await expect(conductor.run('go', { agentType: 'painting' })).rejects.toMatchObject({
      code: 'INVALID_TASK',
    });
  });
});

describe('a goal in the queue', () => {
  test('is run, and its result read', async () => {
    await using conductor = new Conductor({ agents: { steps: steps() } });
    const id = await conductor.enqueueGoal('go', { id: 'mine', priority: 'high', metadata: { who: 'me' } });
    expect(id).toBe('mine');
    expect(await conductor.processQueue({ untilEmpty: true })).toEqual({
      completed: 1,
      failed: 0,
      waiting: 0,
    });
    expect(await conductor.result(id)).toMatchObject({ goal: 'go', notes: ['first', 'second', 'third'] });
    expect(await conductor.queue.getTask(id)).toMatchObject({
      priority: 8,
      metadata: { who: 'me' },
      assignedAgent: 'steps',
      scores: [{ agent: 'steps' }],
    });
  });

  test('goes to the agent of its type, after what it depends on', async () => {
    const log: string[] = [];
    const agent = (name: string) => ({
      graph: {
        invoke: async () => {
          log.push(name);
          return name;
        },
      },
      capabilities: [`${name}-it`],
    });
    await using conductor = new Conductor({ agents: { read: agent('read'), write: agent('write') } });
    const [first, second] = await conductor.enqueueGoals([
      { goal: 'read it', id: 'r', agentType: 'read-it' },
      { goal: 'write it', agentType: 'write-it', dependsOn: ['r'], priority: 10 },
    ]);
    await conductor.processQueue({ untilEmpty: true });
    expect(log).toEqual(['read', 'write']);
    expect(await conductor.result(first!)).toBe('read');
    expect(await conductor.result(second!)).toBe('write');
  });

  test('is refused at once where an input key has no channel', async () => {
    await using conductor = new Conductor({ agents: { steps: steps() } });
    await expect(conductor.enqueueGoal('go', { input: { gaol: 1 } })).rejects.toMatchObject({
      code: 'INVALID_TASK',
    });
    const id = await conductor.queue.enqueue({ payload: { goal: 'go', input: { gaol: 1 } } });
    await conductor.processQueue({ untilEmpty: true });
    await expect(conductor.result(id)).rejects.toMatchObject({
      code: 'TASK_FAILED',
      cause: { code: 'INVALID_TASK' },
    });
    expect(await conductor.queue.getTask(id)).toMatchObject({ status: 'failed', retryCount: 0 });
  });

  test('tells a graph with messages by a human message, and records messages as plain data', async () => {
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('reply', ({ messages }) => ({ messages: [new AIMessage(`${messages[0]?.getType()}!`)] }))
      .addEdge(START, 'reply')
      .addEdge('reply', END)
      .compile();
    await using conductor = new Conductor({ agents: { reply: graph } });
    const id = await conductor.enqueueGoal('hello');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({
      messages: [
        { type: 'human', content: 'hello' },
        { type: 'ai', content: 'human!' },
      ],
    });
  });

  test('runs on what createAgent returns', async () => {
    const model = fakeModel().respond(new AIMessage('forty-two'));
    await using conductor = new Conductor({ agents: { helper: createAgent({ model, tools: [] }) } });
    const id = await conductor.enqueueGoal('the answer?');
    await conductor.processQueue({ untilEmpty: true });
    const result = (await conductor.result(id)) as { messages: { content: string }[] };
    expect(result.messages.at(-1)?.content).toBe('forty-two');
  });

  test('is mapped by toInput and toResult', async () => {
    await using conductor = new Conductor({
      agents: {
        steps: {
          graph: steps(),
          toInput: (task) => ({ goal: `${String(task.payload.goal)} #${task.attempt}` }),
          toResult: (state: typeof State.State) => ({ length: state.notes.length, goal: state.goal }),
        },
      },
    });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toEqual({ length: 3, goal: 'go #1' });
  });

  test('fails for good on a BigInt in the state, and the result rejects with it', async () => {
    const Big = Annotation.Root({ goal: Annotation<string>(), n: Annotation<bigint>() });
    const graph = new StateGraph(Big)
      .addNode('count', () => ({ n: 1n }))
      .addEdge(START, 'count')
      .addEdge('count', END)
      .compile();
    await using conductor = new Conductor({ agents: { count: graph } });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    await expect(conductor.result(id)).rejects.toMatchObject({ code: 'TASK_FAILED' });
    expect(await conductor.queue.getTask(id)).toMatchObject({ status: 'failed', retryCount: 0 });
  });

  test('shows its events from any start, transitions and nodes', async () => {
    await using conductor = new Conductor({ agents: { steps: steps() } });
    const id = await conductor.enqueueGoal('go');
    const events: RunEvent[] = [];
    const reading = (async () => {
      for await (const event of conductor.events(id)) events.push(event);
    })();
    await conductor.processQueue({ untilEmpty: true });
    await reading;
    const transitions = events.flatMap((event) => (event.type === 'transition' ? [event.to] : []));
    expect(transitions).toEqual(['pending', 'in_progress', 'completed']);
    expect(events.filter(({ type }) => type === 'node').length).toBe(6);
    await expect(conductor.events('unknown').next()).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  });
});

test('nodes find attempt, fence, task id and signal in their config', async () => {
  const seen: unknown[] = [];
  const graph = threeSteps([], {
    first: (_state, config) => {
      seen.push(config.configurable?.jotty);
    },
  }).compile();
  await using conductor = new Conductor({ agents: { steps: graph } });
  const id = await conductor.enqueueGoal('go');
  await conductor.processQueue({ untilEmpty: true });
  expect(seen).toEqual([
    {
      taskId: id,
      threadId: id,
      agent: 'steps',
      attempt: 1,
      fence: 1,
      spend: expect.any(Function),
      children: expect.any(Function),
      effects: expect.any(Object),
      failures: [],
      signal: expect.any(AbortSignal),
    },
  ]);
});

test("the app's own graph is left as it was", async () => {
  const graph = steps();
  await using queue = new MemoryTaskQueue();
  await using conductor = new Conductor({ agents: { graph }, queue });
  await conductor.enqueueGoal('go');
  await conductor.processQueue({ untilEmpty: true });
  expect(graph.checkpointer).toBeUndefined();
});
