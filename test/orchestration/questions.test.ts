import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { claimAndRelease, State, threeSteps, twoQuestions } from './graphs.ts';

type Agents = ConstructorParameters<typeof Conductor>[0]['agents'];

/** A queue and a saver that survive their conductors, as files would. */
async function bundle(agents: Agents) {
  const queue = new MemoryTaskQueue();
  const checkpointer = new FencedMemorySaver();
  const conductor = (others: Agents = agents) => new Conductor({ agents: others, queue, checkpointer });
  const id = await conductor().enqueueGoal('go');
  const process = (others?: Agents) => conductor(others).processQueue({ untilEmpty: true });
  const open = async () => (await queue.getTask(id))?.interrupts ?? [];
  return { queue, checkpointer, conductor, id, process, open };
}

test('two questions of one node each get their own answer, with a new conductor after each', async () => {
  const { id, process, open, conductor, queue } = await bundle({ ask: twoQuestions() });
  expect(await process()).toEqual({ completed: 0, failed: 0, waiting: 1 });
  const [first] = await open();
  expect(first).toMatchObject({ value: 'name?' });
  expect(await queue.getTask(id)).toMatchObject({ status: 'waiting' });

  await conductor().answer(id, first!.id, 'Ada');
  await process();
  const [second] = await open();
  expect(second).toMatchObject({ value: 'colour?' });
  expect(second!.id).not.toBe(first!.id);
  await expect(conductor().answer(id, first!.id, 'Eve')).rejects.toMatchObject({ code: 'ALREADY_ANSWERED' });

  await conductor().answer(id, second!.id, 'blue');
  await process();
  expect(await conductor().result(id)).toMatchObject({ answer: 'Ada likes blue' });
});

test('an answer survives a crash before the node that asked has used it', async () => {
  let crashes = 1;
  const graph = new StateGraph(State)
    .addNode('ask', () => {
      const name = interrupt('name?') as string;
      if (crashes-- > 0) throw new Error('died with the answer in hand');
      return { answer: `${name} and ${interrupt('colour?') as string}` };
    })
    .addEdge(START, 'ask')
    .addEdge('ask', END)
    .compile();
  const { id, process, open, conductor } = await bundle({ ask: graph });
  await process();
  await conductor().answer(id, (await open())[0]!.id, 'Ada');
  await process();
  const [question] = await open();
  expect(question).toMatchObject({ value: 'colour?' });
  await conductor().answer(id, question!.id, 'blue');
  await process();
  expect(await conductor().result(id)).toMatchObject({ answer: 'Ada and blue' });
});

test('parallel questions are answered one by one, each by its own id', async () => {
  const Two = Annotation.Root({
    goal: Annotation<string>(),
    a: Annotation<string>(),
    b: Annotation<string>(),
  });
  const graph = new StateGraph(Two)
    .addNode('left', () => ({ a: interrupt('left?') as string }))
    .addNode('right', () => ({ b: interrupt('right?') as string }))
    .addEdge(START, 'left')
    .addEdge(START, 'right')
    .compile();
  const { id, process, open, conductor } = await bundle({ both: graph });
  await process();
  const right = (await open()).find(({ value }) => value === 'right?')!;
  await conductor().answer(id, right.id, 'R');
  await process();
  const rest = await open();
  expect(rest.map(({ value }) => value)).toEqual(['left?']);
  await conductor().answer(id, rest[0]!.id, 'L');
  await process();
  expect(await conductor().result(id)).toMatchObject({ a: 'L', b: 'R' });
});

test('questions of a subgraph, and of a graph called inside a node, reach the person', async () => {
  const inner = twoQuestions();
  const graph = new StateGraph(State)
    .addNode('sub', inner)
    .addNode('call', async (state) => ({ notes: [String((await inner.invoke(state)).answer)] }))
    .addEdge(START, 'sub')
    .addEdge('sub', 'call')
    .addEdge('call', END)
    .compile();
  const { id, process, open, conductor } = await bundle({ outer: graph });
  for (const reply of ['Ada', 'blue', 'Bob', 'red']) {
    await process();
    const [question] = await open();
    await conductor().answer(id, question!.id, reply);
  }
  await process();
  expect(await conductor().result(id)).toMatchObject({ answer: 'Ada likes blue', notes: ['Bob likes red'] });
});

test('a breakpoint waits, also after a crash before that was recorded, and goes on with any answer', async () => {
  const log: string[] = [];
  const agents = {
    steps: threeSteps(log).compile({ interruptBefore: ['second'], interruptAfter: ['second'] }),
  };
  const { id, process, open, conductor, checkpointer, queue } = await bundle(agents);
  await claimAndRelease(queue);
  const graph = threeSteps(log).compile({ checkpointer, interruptBefore: ['second'] });
  await graph.invoke({ goal: 'go' }, { configurable: { thread_id: id } });
  expect(log).toEqual(['first']);

  await process();
  expect(log).toEqual(['first']);
  const [stop] = await open();
  expect(stop?.id).toMatch(/^breakpoint:/);
  expect(stop?.value).toEqual({ next: ['second'] });

  await conductor().answer(id, stop!.id, true);
  await process();
  expect(log).toEqual(['first', 'second']);
  await conductor().answer(id, (await open())[0]!.id, 'go on');
  await process();
  expect(log).toEqual(['first', 'second', 'third']);
  expect(await conductor().result(id)).toMatchObject({ goal: 'go' });
});

test('an answer that the question does not accept is asked again, and costs no attempt', async () => {
  const graph = new StateGraph(State)
    .addNode('ask', () => ({ answer: String(interrupt('age?', { responseSchema: z.number() })) }))
    .addEdge(START, 'ask')
    .addEdge('ask', END)
    .compile();
  const { id, process, open, conductor, queue } = await bundle({ ask: graph });
  await process();
  await conductor().answer(id, (await open())[0]!.id, 'old');
  await process();
  const [again] = await open();
  expect(again?.value).toMatchObject({ question: 'age?', refusedBecause: expect.stringContaining('number') });
  expect(await queue.getTask(id)).toMatchObject({ status: 'waiting', retryCount: 0 });
  await conductor().answer(id, again!.id, 42);
  await process();
  expect(await conductor().result(id)).toMatchObject({ answer: '42' });
});

test('a question of a node that a deploy removed is not taken for success', async () => {
  const { id, process, conductor, open, queue } = await bundle({ ask: twoQuestions() });
  await process();
  await conductor().answer(id, (await open())[0]!.id, 'Ada');
  const renamed = new StateGraph(State)
    .addNode('question', () => ({ answer: 'x' }))
    .addEdge(START, 'question')
    .addEdge('question', END)
    .compile();
  await process({ ask: renamed });
  expect(await queue.getTask(id)).toMatchObject({ status: 'pending', error: { code: 'GRAPH_CHANGED' } });
});
