import { AIMessage } from '@langchain/core/messages';
import { RunnableLambda } from '@langchain/core/runnables';
import { fakeModel } from '@langchain/core/testing';
import { END, entrypoint, MessagesAnnotation, START, StateGraph, task } from '@langchain/langgraph';
import { expect, test } from 'vitest';
import { type AgentSource, Conductor } from '../../src/index.ts';

type State = typeof MessagesAnnotation.State;

const tokens = { input_tokens: 3, output_tokens: 2, total_tokens: 5 };
const answer = () => new AIMessage({ content: 'yes', usage_metadata: tokens } as never);
const model = () => fakeModel().respond(answer()).respond(answer());

/** A graph of one node. */
const nodeOf = (node: unknown) =>
  new StateGraph(MessagesAnnotation)
    .addNode('one', node as () => object)
    .addEdge(START, 'one')
    .addEdge('one', END);
const ask = async ({ messages }: State) => ({ messages: [await model().invoke(messages)] });
const asking = RunnableLambda.from(ask);

/** Where code of a graph may call a model, once each time, and without handing on its config. */
const PLACES: Readonly<Record<string, () => unknown>> = {
  'a node': () => nodeOf(ask).compile(),
  'a node that is a chain': () => nodeOf(asking.pipe((update: object) => update)).compile(),
  'a node that returns what is to run in its place': () => nodeOf(() => asking).compile(),
  'a node that resolves with it': () => nodeOf(async () => asking).compile(),
  'a graph that is a node': () => nodeOf(nodeOf(ask).compile()).compile(),
  'a graph that a node calls': () => {
    const inner = nodeOf(ask).compile();
    return nodeOf((state: State) => inner.invoke(state)).compile();
  },
  'a graph that a node calls with its config': () => {
    const inner = nodeOf(ask).compile();
    return nodeOf((state: State, config: object) => inner.invoke(state, config)).compile();
  },
  'a conditional edge': () =>
    new StateGraph(MessagesAnnotation)
      .addNode('one', () => ({}))
      .addEdge(START, 'one')
      .addConditionalEdges('one', async (state) => (await ask(state)) && END, [END])
      .compile(),
  'a task of the functional API': () => {
    const inner = task('inner', ask);
    return entrypoint({ name: 'outer' }, async (state: State) => inner(state));
  },
  'a task that a task calls': () => {
    const inner = task('inner', ask);
    const middle = task('middle', async (state: State) => inner(state));
    return entrypoint({ name: 'outer' }, async (state: State) => middle(state));
  },
  'a task that a node calls': () => {
    const inner = task('inner', ask);
    return nodeOf((state: State) => inner(state)).compile();
  },
};

test.each(Object.keys(PLACES))('a model is counted once that is called in %s', async (place) => {
  const source = PLACES[place]!() as AgentSource;
  await using conductor = new Conductor({
    agents: { source: { graph: source as never, toInput: () => ({ messages: [] }) } },
  });
  for (let round = 1; round <= 2; round++) {
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    await conductor.result(id);
    expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 1, tokens: 5 });
  }
});

test('callbacks of the graph hear of a model beside the meter', async () => {
  let heard = 0;
  const graph = nodeOf(ask)
    .compile()
    .withConfig({ callbacks: [{ handleChatModelStart: () => void heard++ }] });
  await using conductor = new Conductor({
    agents: { graph: { graph: graph as never, toInput: () => ({ messages: [] }) } },
  });
  const id = await conductor.enqueueGoal('go');
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 1, tokens: 5 });
  expect(heard).toBe(1);
});
