import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Conductor, dynamicAgent } from '../../src/index.ts';
import { MemoryTaskQueue, SQLiteTaskQueue } from '../../src/queue/index.ts';
import { CountingModel } from './counting-model.ts';

const State = Annotation.Root({ goal: Annotation<string>(), draft: Annotation<string>() });

beforeEach(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

/** An agent that calls the model so often in each run, in one node. */
function caller(model: CountingModel, calls: number) {
  return new StateGraph(State)
    .addNode('call', async ({ draft = '' }) => {
      for (let i = 0; i < calls; i++) await model.invoke('go');
      return { draft: `${draft}.` };
    })
    .addEdge(START, 'call')
    .addEdge('call', END)
    .compile();
}

const router = ({ path }: { path: readonly string[] }) => (path.length % 2 === 0 ? 'a' : 'b');

test('a team ends where its budget is spent, with what was made until then, in a queue and without', async () => {
  for (const isQueued of [false, true]) {
    const model = new CountingModel();
    const agents = { a: caller(model, 2), b: caller(model, 1) };
    const queue = new MemoryTaskQueue();
    const budget = { modelCalls: 4 };
    const conductor = new Conductor({ mode: 'dynamic', agents, router, queue, budget });
    const goal = isQueued ? await conductor.enqueueGoal('go') : '';
    if (isQueued) await conductor.processQueue({ untilEmpty: true });
    const run = isQueued ? undefined : await conductor.run('go');
    const result =
      run === undefined ? await conductor.result(goal) : run.status === 'completed' && run.result;
    // a, b, and the second call of the third run is refused.
    expect(result).toMatchObject({ endedBy: 'budget', path: ['a', 'b', 'a'], draft: '..' });
    expect(model.calls).toBe(4);
    expect(await conductor.usage({ agent: 'a' })).toMatchObject({ modelCalls: 3 });
    expect(await conductor.usage({ agent: 'b' })).toMatchObject({ modelCalls: 1 });
    expect(await conductor.usage({ agent: 'dynamic' })).toMatchObject({ modelCalls: 4 });
    await conductor.close();
    await queue.close();
  }
});

test('a team whose budget is spent between two agents asks no router any more', async () => {
  const model = new CountingModel({ tokens: () => 25 });
  const asked: number[] = [];
  const conductor = new Conductor({
    mode: 'dynamic',
    agents: { a: caller(model, 2), b: caller(model, 2) },
    router: (state) => {
      asked.push(state.path.length);
      return router(state);
    },
    budget: { tokens: 100 },
  });
  const run = await conductor.run('go');
  expect(run).toMatchObject({ result: { endedBy: 'budget', path: ['a', 'b'] }, usage: { tokens: 100 } });
  expect(asked).toEqual([0, 1]);
  await conductor.close();
});

test('the budget of a team and that of its goal hold both: the goal waits where its own is spent', async () => {
  const model = new CountingModel();
  const queue = new SQLiteTaskQueue({ path: ':memory:' });
  const agents = { a: caller(model, 2), b: caller(model, 2) };
  const conductor = new Conductor({ mode: 'dynamic', agents, router, queue, budget: { modelCalls: 6 } });
  const id = await conductor.enqueueGoal('go', { budget: { modelCalls: 3 } });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
  await conductor.budget(id).raise({ modelCalls: 100 });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ endedBy: 'budget' });
  expect(model.calls).toBe(6);
  await conductor.close();
  await queue.close();
});

test('a team refuses a budget that is none, and a member with a bound of its own', () => {
  const agents = { a: caller(new CountingModel(), 1) };
  const make = (budget: object) => () => dynamicAgent({ agents, budget });
  expect(make({ tokens: -1 })).toThrow(/budget\.tokens/);
  expect(make({ steps: 1 })).toThrow(/budget.*tokens, cost, modelCalls/);
  const inner = dynamicAgent({ agents, budget: { tokens: 1 } });
  expect(() => dynamicAgent({ agents: { inner } })).toThrow(/budget of the whole team only/);
});
