import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { Annotation, END, Send, START, StateGraph } from '@langchain/langgraph';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type BudgetQuestion,
  type CompiledGraph,
  Conductor,
  type ConductorOptions,
  enqueueChildren,
  type InboxEntry,
  Workflow,
  waitForChildren,
} from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { type BackendName, backends } from './backends.ts';
import { CountingModel } from './counting-model.ts';
import { until } from './graphs.ts';

const { open, place } = backends();
const BACKENDS: readonly BackendName[] = ['memory', 'sqlite', 'redis', 'hybrid'];

const State = Annotation.Root({
  goal: Annotation<string>(),
  out: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
type Node = (state: typeof State.State, config: { configurable?: Record<string, unknown> }) => unknown;

/** LangChain tells of a handler that throws on the console. */
beforeEach(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

/** first → second; `first` is no caller of models. */
function twoSteps(second: Node, log: string[] = []) {
  return new StateGraph(State)
    .addNode('first', () => {
      log.push('first');
      return { out: ['first'] };
    })
    .addNode('second', async (state, config) => {
      log.push('second');
      return ((await second(state, config as never)) ?? { out: ['second'] }) as Partial<typeof State.State>;
    })
    .addEdge(START, 'first')
    .addEdge('first', 'second')
    .addEdge('second', END)
    .compile();
}

/** So many calls at the same time, each in a node of its own. */
function fanOut(model: CountingModel, width: number) {
  return new StateGraph(State)
    .addNode('plan', () => ({}))
    .addNode('work', async () => {
      await model.invoke('do it');
      return { out: ['work'] };
    })
    .addEdge(START, 'plan')
    .addConditionalEdges('plan', () => Array.from({ length: width }, () => new Send('work', {})))
    .addEdge('work', END)
    .compile();
}

const loop =
  (model: CountingModel, calls: number): Node =>
  async () => {
    for (let i = 0; i < calls; i++) await model.invoke(`step ${i}`);
  };

function setUp(
  backend: BackendName,
  agents: Record<string, CompiledGraph>,
  more: Partial<ConductorOptions> = {},
) {
  const at = place();
  const retry = { initialInterval: 1, maxInterval: 1, jitter: false };
  const queue = open(backend, at, { retry });
  const conductor = new Conductor({ agents, queue, ...more } as ConductorOptions);
  const process = () => conductor.processQueue({ untilEmpty: true });
  const asked = async () =>
    (await conductor.inbox()).entries as readonly Extract<InboxEntry, { kind: 'budget' }>[];
  const close = async () => {
    await conductor.close();
    await queue.close();
  };
  return { at, queue, conductor, process, asked, [Symbol.asyncDispose]: close };
}

describe.each(BACKENDS)('a budget on %s', (backend) => {
  test('of tokens is exceeded by one call at most, also by nodes side by side whose calls grow', async () => {
    const model = new CountingModel({ tokens: (call) => 10 * (call + 1) });
    await using up = setUp(backend, { agent: fanOut(model, 12) });
    const id = await up.conductor.enqueueGoal('go', { budget: { tokens: 100 } });
    expect(await up.process()).toMatchObject({ waiting: 1, failed: 0 });
    // 10 + 20 + 30 + 40 is all of it.
    expect(model).toMatchObject({ calls: 4, spent: 100, runningMost: 1 });
    const [entry] = await up.asked();
    expect(entry).toMatchObject({
      kind: 'budget',
      taskId: id,
      value: { taskId: id, reached: 'tokens', max: { tokens: 100 }, spent: { tokens: 100, modelCalls: 4 } },
    });
    await up.conductor.answer(id, entry!.interruptId, { raise: { tokens: 105 } });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    // Nodes that had finished call no more: 50 + 60 are above 205 by 5.
    expect(model).toMatchObject({ calls: 6, spent: 210 });
    await up.conductor.budget(id).raise({ tokens: 10_000 });
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(model.calls).toBe(12);
    expect(await up.conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 12, tokens: 780 });
    expect(await up.conductor.budget(id).status()).toMatchObject({ callsOpen: 0, spent: { tokens: 780 } });
  });

  test('of tokens lets calls run side by side that have a bound of their own', async () => {
    const model = new CountingModel({ tokens: () => 400, maxTokens: 500 });
    await using up = setUp(backend, { agent: fanOut(model, 30) });
    await up.conductor.enqueueGoal('go', { budget: { tokens: 6_000 } });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    expect(model.runningMost).toBeGreaterThan(2);
    expect(model.spent).toBeGreaterThanOrEqual(6_000);
    expect(model.spent - 6_000).toBeLessThan(model.largest);
  });

  test('of calls is kept in a loop inside a node, and the nodes before it do not run again', async () => {
    const model = new CountingModel();
    const log: string[] = [];
    await using up = setUp(backend, { agent: twoSteps(loop(model, 5), log) });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 3 } });
    await up.process();
    expect(model.calls).toBe(3);
    expect((await up.queue.getTask(id))!).toMatchObject({ status: 'waiting', retryCount: 0, crashes: 0 });
    const [entry] = await up.asked();
    await up.conductor.answer(id, entry!.interruptId, { choice: 'raise', raise: { modelCalls: 5 } });
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(model.calls).toBe(8);
    expect(log).toEqual(['first', 'second', 'second']);
  });

  test('is shared by all attempts', async () => {
    const model = new CountingModel();
    const fail: Node = async () => {
      await model.invoke('go');
      throw new Error('no luck');
    };
    await using up = setUp(backend, { agent: twoSteps(fail) });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 3 }, maxRetries: 10 });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    expect(model.calls).toBe(3);
    expect(await up.queue.getTask(id)).toMatchObject({ status: 'waiting', retryCount: 3 });
    expect(await up.conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 3, tokens: 30 });
  });

  test('is shared with children in all generations, and the usage of a task is a tree', async () => {
    const model = new CountingModel();
    const children: Readonly<Record<string, string[]>> = { root: ['branch', 'branch'], branch: ['leaf'] };
    const graph = new StateGraph(State)
      .addNode('call', async ({ goal }) => {
        await model.invoke(goal);
        return {};
      })
      .addNode('wait', async ({ goal }, config) => {
        await waitForChildren(config, await enqueueChildren(config, children[goal] ?? []));
        return {};
      })
      .addEdge(START, 'call')
      .addEdge('call', 'wait')
      .addEdge('wait', END)
      .compile();
    await using up = setUp(backend, { agent: graph });
    const id = await up.conductor.enqueueGoal('root', { budget: { modelCalls: 3 } });
    await up.process();
    expect(model.calls).toBe(3);
    expect((await up.asked()).map(({ value }) => value.taskId)).toEqual([id, id]);
    await up.conductor.budget(id).raise({ modelCalls: 10 });
    await up.process();
    expect((await up.queue.getTask(id))!.status).toBe('completed');
    const usage = await up.conductor.usage({ taskId: id });
    expect(usage).toMatchObject({ modelCalls: 5, tokens: 50, own: { modelCalls: 1 } });
    expect(usage.children).toHaveLength(2);
    for (const branch of usage.children) {
      expect(branch).toMatchObject({ modelCalls: 2, own: { modelCalls: 1 } });
      expect(branch.children).toMatchObject([{ modelCalls: 1 }]);
    }
    expect(await up.conductor.usage({ agent: 'agent' })).toMatchObject({ modelCalls: 5, tokens: 50 });
  });

  test('of a key is shared by tasks, and one raise lets all of them go on', async () => {
    const model = new CountingModel();
    await using up = setUp(backend, { agent: twoSteps(loop(model, 2)) });
    const budget = { key: 'tenant:acme', modelCalls: 3 };
    const ids = await up.conductor.enqueueGoals([1, 2, 3, 4].map((n) => ({ goal: `${n}`, budget })));
    await up.process();
    expect(model.calls).toBe(3);
    const entries = await up.asked();
    expect(entries.length).toBeGreaterThanOrEqual(3);
    expect(entries[0]!.value).toMatchObject({ key: 'tenant:acme' } satisfies Partial<BudgetQuestion>);
    await up.conductor.answer(entries[0]!.taskId, entries[0]!.interruptId, { raise: { modelCalls: 20 } });
    await up.process();
    for (const id of ids) expect((await up.queue.getTask(id))!.status).toBe('completed');
    expect(await up.conductor.budget({ key: 'tenant:acme' }).status()).toMatchObject({
      max: { modelCalls: 23 },
      raises: 1,
      isSpent: false,
    });
    expect(await up.conductor.usage({ key: 'tenant:acme' })).toMatchObject({ modelCalls: model.calls });
  });

  test('that is stopped ends its tasks, and a raise after that lets them be retried', async () => {
    const model = new CountingModel();
    await using up = setUp(backend, { agent: twoSteps(loop(model, 2)) });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 1 } });
    await up.process();
    const [entry] = await up.asked();
    await up.conductor.answer(id, entry!.interruptId, 'stop');
    expect(await up.process()).toMatchObject({ failed: 1 });
    await expect(up.conductor.result(id)).rejects.toMatchObject({ code: 'TASK_FAILED' });
    expect((await up.queue.getTask(id))!.error).toMatchObject({ code: 'BUDGET_STOPPED' });
    expect(model.calls).toBe(1);
    await up.conductor.budget(id).raise({ modelCalls: 9 });
    await up.queue.retry(id);
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(model.calls).toBe(3);
  });

  test('of a workflow is shared by its tasks; the usage of each is told', async () => {
    const model = new CountingModel();
    await using up = setUp(backend, { agent: twoSteps(loop(model, 2)) });
    const plan = new Workflow('plan').add('a', { goal: 'a' }).add('b', { goal: 'b', dependsOn: ['a'] });
    const run = await up.conductor.submit(plan, { id: 'w1', budget: { modelCalls: 3 } });
    await up.process();
    expect(model.calls).toBe(3);
    expect(await up.conductor.budget({ workflowId: 'w1' }).status()).toMatchObject({ isSpent: true });
    await up.conductor.budget({ workflowId: 'w1' }).raise();
    await up.process();
    expect((await run.status()).status).toBe('completed');
    expect(await up.conductor.usage({ workflowId: 'w1' })).toMatchObject({ modelCalls: 5, tokens: 50 });
    expect(await up.conductor.usage({ taskId: 'w1:a' })).toMatchObject({ modelCalls: 2 });
  });

  test('of a key that two queue objects share is one budget', async () => {
    if (backend === 'memory') return;
    const model = new CountingModel({ tokens: (call) => 5 + call });
    const agents = { agent: fanOut(model, 4) };
    await using up = setUp(backend, agents);
    const other = open(backend, up.at);
    const second = new Conductor({ agents, queue: other });
    const budget = { key: 'both', tokens: 60 };
    await up.conductor.enqueueGoals(Array.from({ length: 6 }, () => ({ goal: 'go', budget })));
    await Promise.all([up.process(), second.processQueue({ untilEmpty: true })]);
    await up.process();
    // 5 + 6 + 7 + 8 + 9 + 10 + 11 = 56, and one more.
    expect(model).toMatchObject({ spent: 68, calls: 8, runningMost: 1 });
    expect(await second.budget({ key: 'both' }).status()).toMatchObject({
      spent: { tokens: 68, modelCalls: 8 },
    });
    expect(await second.usage({ agent: 'agent' })).toMatchObject({ modelCalls: 8, tokens: 68 });
    await second.budget({ key: 'both' }).stop();
    await up.process();
    const { counts } = await up.queue.stats();
    expect([counts.waiting, counts.failed + counts.completed]).toEqual([0, 6]);
    await second.close();
    await other.close();
  });
});

describe('a budget', () => {
  const prices = { small: { inputPerMillion: 1_000_000, outputPerMillion: 10_000_000 } };

  test('of money counts by the prices given, and what has no price is not called', async () => {
    const model = new CountingModel({ name: 'small', tokens: () => 11 });
    const other = new CountingModel({ name: 'large' });
    const agents = { small: twoSteps(loop(model, 5)), large: twoSteps(loop(other, 1)) };
    await using up = setUp('memory', agents, { prices });
    const id = await up.conductor.enqueueGoal('go', { agent: 'small', budget: { cost: 30 } });
    await up.process();
    expect(model.calls).toBe(2);
    const usage = { modelCalls: 2, inputTokens: 20, outputTokens: 2, cost: 40, unpricedCalls: 0 };
    expect(await up.conductor.usage({ taskId: id })).toMatchObject({ ...usage, models: { small: usage } });
    await up.conductor.enqueueGoal('go', { id: 'l', agent: 'large', budget: { cost: 30 } });
    await up.process();
    expect(other.calls).toBe(0);
    const [question] = (await up.queue.getTask('l'))!.interrupts!;
    expect(question!.value).toMatchObject({
      jotty: 'failure',
      class: 'budget',
      message: /no price of large/,
    });
    await up.conductor.enqueueGoal('go', { id: 'free', agent: 'large' });
    await up.process();
    expect(await up.conductor.usage({ taskId: 'free' })).toMatchObject({
      tokens: 10,
      cost: 0,
      unpricedCalls: 1,
    });
  });

  test('of steps stops between two of them', async () => {
    const log: string[] = [];
    await using up = setUp('memory', { agent: twoSteps(() => undefined, log) });
    const id = await up.conductor.enqueueGoal('go', { budget: { steps: 1 } });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    expect(log).toEqual(['first']);
    await up.conductor.budget(id).raise({ steps: 1 });
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(log).toEqual(['first', 'second']);
  });

  test('of time counts what runs take, and stops between two steps', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const log: string[] = [];
    const graph = new StateGraph(State)
      .addNode('slow', async () => {
        log.push('slow');
        await clock.advance(3_000);
        return {};
      })
      .addNode('next', () => {
        log.push('next');
        return {};
      })
      .addEdge(START, 'slow')
      .addEdge('slow', 'next')
      .addEdge('next', END)
      .compile();
    const conductor = new Conductor({ agents: { graph }, queue });
    const id = await conductor.enqueueGoal('go', { budget: { wallMs: 2_000 } });
    const done = conductor.processQueue({ maxTasks: 1 });
    await done;
    expect(log).toEqual(['slow']);
    expect(await conductor.budget(id).status()).toMatchObject({ spent: { wallMs: 3_000 }, isSpent: true });
    await clock.advance(60_000);
    await conductor.budget(id).raise({ wallMs: 2_000 });
    await conductor.processQueue({ maxTasks: 1 });
    expect(log).toEqual(['slow', 'next']);
    expect((await queue.getTask(id))!.status).toBe('completed');
    expect(await conductor.budget(id).status()).toMatchObject({ spent: { wallMs: 3_000 } });
    await queue.close();
  });

  test('is kept though a node takes the refusal for an error of its own', async () => {
    const model = new CountingModel();
    const stubborn: Node = async () => {
      for (let i = 0; i < 9; i++) await model.invoke('go').catch(() => {});
      throw new Error('the model does not answer');
    };
    await using up = setUp('memory', { agent: twoSteps(stubborn) });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 2 } });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    expect(model.calls).toBe(2);
    expect((await up.queue.getTask(id))!.failures).toBeUndefined();
  });

  test('drains a run whose node has swallowed the refusal', async () => {
    const model = new CountingModel();
    const log: string[] = [];
    const graph = new StateGraph(State)
      .addNode('a', async () => {
        await model.invoke('go');
        await model.invoke('go').catch(() => log.push('refused'));
        return {};
      })
      .addNode('b', () => {
        log.push('b');
        return {};
      })
      .addEdge(START, 'a')
      .addEdge('a', 'b')
      .addEdge('b', END)
      .compile();
    await using up = setUp('memory', { graph });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 1 } });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    expect(log).toEqual(['refused']);
    await up.conductor.budget(id).raise();
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(log).toEqual(['refused', 'b']);
  });

  test('of several calls made as one does not wait for itself', async () => {
    const model = new CountingModel();
    const batch: Node = async (_, config) => {
      await model.generate([['a'], ['b'], ['c']] as never, config as never);
    };
    await using up = setUp('memory', { agent: twoSteps(batch) });
    const id = await up.conductor.enqueueGoal('go', { budget: { tokens: 100 } });
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(await up.conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 3, tokens: 30 });
    expect(await up.conductor.budget(id).status()).toMatchObject({ callsOpen: 0, spent: { tokens: 30 } });
  });

  test('counts calls that stream, and a stream that is left does not keep back the next call for ever', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const model = new CountingModel({ streams: true });
    const leaver: Node = async () => {
      for await (const _ of await model.stream('all of it'));
      for await (const _ of await model.stream('some of it')) break;
      await model.invoke('the next');
    };
    const conductor = new Conductor({ agents: { agent: twoSteps(leaver) }, queue });
    const id = await conductor.enqueueGoal('go', { budget: { tokens: 100 } });
    const processing = conductor.processQueue({ maxTasks: 1 });
    await until(async () => (await conductor.usage({ taskId: id })).modelCalls === 1 && model.calls === 2);
    await until(() => model.running === 0);
    let isOver = false;
    void processing.finally(() => {
      isOver = true;
    });
    while (!isOver) await clock.advance(1_000);
    await conductor.result(id);
    expect(await conductor.usage({ taskId: id })).toMatchObject({
      modelCalls: 3,
      unknownCalls: 1,
      tokens: 20,
    });
    // The stream that was left counts as the largest call before it.
    expect(await conductor.budget(id).status()).toMatchObject({ callsOpen: 0, spent: { tokens: 30 } });
    await queue.close();
  });

  test('refuses several calls made as one whole, and tells of it on no console', async () => {
    const model = new CountingModel();
    const batch: Node = async (_, config) => {
      await model.generate([['a'], ['b'], ['c']] as never, config as never);
    };
    await using up = setUp('memory', { agent: twoSteps(batch) });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 2 } });
    expect(await up.process()).toMatchObject({ waiting: 1 });
    expect(model.calls).toBe(0);
    expect(await up.conductor.budget(id).status()).toMatchObject({ callsOpen: 0, spent: { modelCalls: 0 } });
    expect(console.error).not.toHaveBeenCalled();
    await up.conductor.budget(id).raise({ modelCalls: 1 });
    expect(await up.process()).toMatchObject({ completed: 1 });
  });

  test('counts a call that fails, and the one after it is made', async () => {
    const model = new CountingModel({
      during: (call) => {
        if (call === 0) throw new Error('overloaded');
      },
    });
    await using up = setUp('memory', { agent: twoSteps(loop(model, 1)) });
    const id = await up.conductor.enqueueGoal('go', { budget: { tokens: 100, modelCalls: 2 } });
    expect(await up.process()).toMatchObject({ completed: 1 });
    expect(await up.conductor.usage({ taskId: id })).toMatchObject({
      modelCalls: 2,
      failedCalls: 1,
      tokens: 10,
    });
  });

  test('of a call that is under way when its task is cancelled counts its question, then what it came to', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const model = new CountingModel({ during: () => held });
    await using up = setUp('memory', { agent: twoSteps(loop(model, 1)) });
    const id = await up.conductor.enqueueGoal('go', { budget: { key: 'k', tokens: 100 } });
    const processing = up.process();
    await until(() => model.running === 1);
    await up.conductor.cancel(id);
    await processing;
    await until(async () => (await up.conductor.budget({ key: 'k' }).status())!.callsOpen === 0);
    expect(await up.conductor.usage({ key: 'k' })).toMatchObject({
      modelCalls: 1,
      unknownCalls: 1,
      tokens: 0,
    });
    release();
    await until(async () => (await up.conductor.usage({ key: 'k' })).tokens === 10);
    expect(await up.conductor.usage({ key: 'k' })).toMatchObject({ modelCalls: 1, unknownCalls: 0 });
    expect(await up.conductor.budget({ key: 'k' }).status()).toMatchObject({
      spent: { tokens: 10, modelCalls: 1 },
    });
  });

  test('is refused where it is none, and so are decisions', async () => {
    await using up = setUp('memory', { agent: twoSteps(() => undefined) });
    const { conductor } = up;
    for (const [budget, path] of [
      [{}, 'task.budget'],
      [{ tokens: -1 }, 'task.budget.tokens'],
      [{ tokens: 1.5 }, 'task.budget.tokens'],
      [{ cost: Number.NaN }, 'task.budget.cost'],
      [{ dollars: 1 }, 'task.budget.dollars'],
      [{ key: 'a b', tokens: 1 }, 'task.budget.key'],
      [[{ tokens: 1 }, { cost: 1 }], 'task.budget[1]'],
      ['much', 'task.budget'],
    ] as const) {
      const goal = conductor.enqueueGoal('go', { budget: budget as never });
      await expect(goal, path).rejects.toMatchObject({ code: 'INVALID_TASK', path });
    }
    await expect(conductor.run('go', { budget: { tokens: -1 } })).rejects.toMatchObject({
      code: 'INVALID_TASK',
    });
    const many = Array.from({ length: 9 }, (_, i) => ({ key: `k${i}`, tokens: 1 }));
    await expect(conductor.enqueueGoal('go', { budget: many })).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await expect(conductor.budget('nobody').raise({ tokens: 1 })).rejects.toMatchObject({
      code: 'BUDGET_NOT_FOUND',
    });
    await expect(conductor.budget({ key: 'k' }).set({})).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(() => conductor.budget({ key: 'k', taskId: 't' } as never)).toThrow(/one of taskId/);
    await expect(conductor.usage({} as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(conductor.answer('t', 'budget:task:t:0', 'more')).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    const negative = conductor.answer('t', 'budget:task:t:0', { raise: { tokens: -5 } });
    await expect(negative).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(() => new Conductor({ agents: {}, prices: { x: { inputPerMillion: 1 } as never } })).toThrow(
      /prices\.x/,
    );
  });

  test('asks again where the queue was given an answer that is none', async () => {
    const model = new CountingModel();
    await using up = setUp('memory', { agent: twoSteps(loop(model, 2)) });
    const id = await up.conductor.enqueueGoal('go', { budget: { modelCalls: 1 } });
    await up.process();
    const [entry] = await up.asked();
    await up.queue.answer(id, entry!.interruptId, 'well');
    await up.process();
    const [again] = await up.asked();
    expect(again).toMatchObject({ value: { refusedBecause: /expected 'raise'/ } });
    await up.queue.answer(id, again!.interruptId, { raise: { modelCalls: 9 } });
    expect(await up.process()).toMatchObject({ completed: 1 });
  });

  test('of a run without a queue makes it wait, and an answer lets it go on', async () => {
    const model = new CountingModel();
    const conductor = new Conductor({ agents: { agent: twoSteps(loop(model, 3)) } });
    const budget = { modelCalls: 2 };
    const first = await conductor.run('go', { threadId: 't', budget });
    expect(first).toMatchObject({ status: 'waiting', usage: { modelCalls: 2, tokens: 20 } });
    const [question] = first.status === 'waiting' ? first.interrupts : [];
    const answers = { [question!.id]: { raise: { modelCalls: 3 } } };
    const second = await conductor.run('go', { threadId: 't', budget, answers });
    expect(second).toMatchObject({ status: 'completed', usage: { modelCalls: 3 } });
    expect(await conductor.usage({ agent: 'agent' })).toMatchObject({ modelCalls: 5 });
    const third = await conductor.run('again', { threadId: 't', budget });
    expect(third).toMatchObject({ status: 'waiting' });
    const events = [];
    for await (const event of conductor.stream('go')) if (event.type === 'usage') events.push(event.usage);
    expect(events).toMatchObject(Array(3).fill({ agent: 'agent', tokens: 10, modelCalls: 1 }));
    await conductor.close();
  });

  test('moves with its task to another queue, as far as it is spent', async () => {
    const model = new CountingModel();
    await using up = setUp('memory', { agent: twoSteps(loop(model, 2)) });
    const budget = [{ modelCalls: 1 }, { key: 'k', modelCalls: 5 }];
    const id = await up.conductor.enqueueGoal('go', { budget });
    await up.process();
    const target = open('sqlite', place());
    await up.queue.moveTo(target);
    const there = new Conductor({ agents: { agent: twoSteps(loop(model, 2)) }, queue: target });
    expect(await there.budget({ key: 'k' }).status()).toMatchObject({ spent: { modelCalls: 1 } });
    expect(await there.usage({ agent: 'agent' })).toMatchObject({ modelCalls: 1 });
    await there.budget(id).raise({ modelCalls: 3 });
    expect(await there.processQueue({ untilEmpty: true })).toMatchObject({ completed: 1 });
    expect(await there.usage({ taskId: id })).toMatchObject({ modelCalls: 3 });
    await target.close();
  });

  test('goes with its task when that is purged, and what it spent stays with its agent', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock, retentionMs: 1_000, sweepMs: 100 });
    const model = new CountingModel();
    const conductor = new Conductor({ agents: { agent: twoSteps(loop(model, 1)) }, queue });
    const id = await conductor.enqueueGoal('go', { budget: { modelCalls: 5 } });
    const stop = new AbortController();
    const processing = conductor.processQueue({ signal: stop.signal });
    await queue.waitFor(id);
    await clock.advance(5_000);
    await until(async () => (await conductor.usage({ taskId: id })).modelCalls === 0);
    expect(await conductor.budget(id).status()).toBeNull();
    expect(await conductor.usage({ agent: 'agent' })).toMatchObject({ modelCalls: 1 });
    stop.abort();
    await processing;
    await queue.close();
  });
});

test('usage is told to those who read along, also of a model that tells it in other words', async () => {
  const message = new AIMessage({ content: 'ok', response_metadata: { model_name: 'seen' } });
  const model = fakeModel().respond(message);
  await using up = setUp('memory', {
    agent: twoSteps(async () => {
      const result = await model.invoke('go');
      return { out: [result.text] };
    }),
  });
  const id = await up.conductor.enqueueGoal('go');
  const events = (async () => {
    const seen = [];
    for await (const event of up.conductor.events(id)) if (event.type === 'usage') seen.push(event.usage);
    return seen;
  })();
  await up.process();
  expect(await events).toMatchObject([{ agent: 'agent', model: 'seen', modelCalls: 1, unknownCalls: 1 }]);
});
