import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { expect, test } from 'vitest';
import { type AgentCallOptions, type AgentInput, Conductor } from '../../src/index.ts';
import { agentFrom } from '../../src/orchestration/agent.ts';
import { State, threeSteps } from './graphs.ts';

test('the settings beside an invoke are heeded, and it may return its result at once', async () => {
  const agent = {
    prefix: 'did ',
    invoke({ goal }: AgentInput, _options: AgentCallOptions) {
      return this.prefix + String(goal);
    },
    capabilities: ['do-it'],
    maxConcurrent: 2,
    timeoutMs: 5_000,
    description: 'does it',
    toResult: (text: string) => ({ text }),
  };
  expect(agentFrom('worker', agent)).toMatchObject({
    capabilities: ['worker', 'do-it'],
    maxConcurrent: 2,
    timeoutMs: 5_000,
    description: 'does it',
  });
  await using conductor = new Conductor({ agents: { worker: agent, other: { invoke: () => 'other' } } });
  const id = await conductor.enqueueGoal('it', { agentType: 'do-it' });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result<{ text: string }>(id)).toEqual({ text: 'did it' });
});

test('an object of LangChain is taken as it is: what its fields are called means nothing', () => {
  const runnable = { lc_runnable: true, invoke: async () => 1, maxConcurrent: -1, capabilities: 'yes' };
  expect(agentFrom('chain', runnable as never)).toMatchObject({ capabilities: ['chain'] });
});

test('an input key the graph has but does not take as input is refused, as LangGraph would drop it', async () => {
  const Input = Annotation.Root({ goal: Annotation<string>() });
  const graph = new StateGraph({ stateSchema: State, input: Input })
    .addNode('first', () => ({ notes: ['first'] }))
    .addEdge(START, 'first')
    .addEdge('first', END)
    .compile();
  await using conductor = new Conductor({ agents: { graph } });
  await expect(conductor.enqueueGoal('go', { input: { answer: 'mine' } })).rejects.toThrow(
    'agent graph has no channel answer in its input; it has goal',
  );
  await conductor.enqueueGoal('go');
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ completed: 1 });
});

interface Wish {
  readonly answer: string;
}

test('an input may have a type of its own, and toResult needs no type at all', async () => {
  const wish: Wish = { answer: 'mine' };
  await using conductor = new Conductor({
    agents: { steps: { graph: threeSteps([]).compile(), toResult: (state) => state.answer } },
  });
  expect(await conductor.run('go', { input: wish })).toMatchObject({ result: 'mine' });
  const id = await conductor.enqueueGoal('go', { input: wish });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toBe('mine');
  await expect(conductor.enqueueGoal('go', { input: new Map() })).rejects.toMatchObject({
    code: 'INVALID_TASK',
  });
});
