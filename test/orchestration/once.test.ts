import { AIMessage, type BaseMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { tool } from '@langchain/core/tools';
import { Annotation, END, interrupt, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { createAgent } from 'langchain';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  Conductor,
  type OnceOptions,
  once,
  onceTool,
  RateLimitError,
  type RunConfig,
  type RunEvent,
} from '../../src/index.ts';
import { EFFECTS_BYTES_MAX } from '../../src/queue/bounds.ts';
import { MemoryTaskQueue, type Task, type TaskQueue } from '../../src/queue/index.ts';
import { until } from './graphs.ts';

const State = Annotation.Root({ goal: Annotation<string>(), receipt: Annotation<unknown>() });
type Node = (config: RunConfig) => Promise<unknown>;

function oneNode(node: Node) {
  return new StateGraph(State)
    .addNode('pay', async (_state, config) => ({ receipt: await node(config as RunConfig) }))
    .addEdge(START, 'pay')
    .addEdge('pay', END)
    .compile();
}

/** A payment whose first calls end as told, each of them after the money has gone. */
function payment(...ends: (Error | undefined)[]) {
  const made: number[] = [];
  const pay = async () => {
    made.push(made.length + 1);
    const end = ends[made.length - 1];
    if (end !== undefined) throw end;
    return { id: `receipt ${made.length}` };
  };
  return { made, pay };
}

async function run(node: Node | { invoke: () => unknown }, maxRetries = 3) {
  const queue = new MemoryTaskQueue({ retry: { initialInterval: 1, maxInterval: 1, jitter: false } });
  const agent = typeof node === 'function' ? oneNode(node) : node;
  const conductor = new Conductor({ agents: { agent }, queue });
  await conductor.enqueueGoal('buy', { id: 't', maxRetries });
  await conductor.processQueue({ untilEmpty: true });
  return { queue, conductor, task: (await queue.getTask('t'))! };
}

async function answered(conductor: Conductor, queue: TaskQueue, value: never): Promise<Task> {
  const { interrupts } = (await queue.getTask('t'))!;
  await conductor.answer('t', interrupts![0]!.id, value);
  await conductor.processQueue({ untilEmpty: true });
  return (await queue.getTask('t'))!;
}

/** The node fails after the call the first time. */
function failingAfter(pay: () => Promise<unknown>, options?: OnceOptions<unknown>): Node {
  let runs = 0;
  return async (config) => {
    const receipt = await once(config, 'pay', pay, options);
    if (++runs === 1) throw new Error('after the payment');
    return receipt;
  };
}

describe('once', () => {
  test('a node that runs again gets the recorded result', async () => {
    const { made, pay } = payment();
    const { task } = await run(failingAfter(pay));
    expect(made).toEqual([1]);
    expect(task).toMatchObject({
      status: 'completed',
      retryCount: 1,
      result: { receipt: { id: 'receipt 1' } },
    });
    expect(task.effects).toMatchObject([{ key: 'pay', state: 'done', starts: 1, attempt: 1 }]);
  });

  test('what comes back is what was recorded, also the first time', async () => {
    const seen: unknown[] = [];
    let runs = 0;
    const given = { at: new Date(5), message: new AIMessage('hi'), n: 1, odd: undefined };
    await run(async (config) => {
      seen.push(await once(config, 'k', () => given), await once(config, 'nothing', () => undefined));
      if (++runs === 1) throw new Error('again');
      return 1;
    });
    expect(seen[0]).toEqual(given);
    expect(seen[2]).toEqual(given);
    expect((seen[2] as typeof given).message).toBeInstanceOf(AIMessage);
    expect([seen[1], seen[3]]).toEqual([undefined, undefined]);
  });

  test('a call that threw is in doubt: it waits for a person, who says what it returned', async () => {
    const { made, pay } = payment(new Error('connection reset'));
    const { queue, conductor, task } = await run(async (config) => once(config, 'pay', pay));
    expect(task).toMatchObject({ status: 'waiting', retryCount: 1 });
    expect(task.interrupts).toMatchObject([
      { value: { jotty: 'once', key: 'pay', choices: ['happened', 'again'], starts: 1, attempt: 1 } },
    ]);
    const end = await answered(conductor, queue, { happened: { id: 'found' } } as never);
    expect(end).toMatchObject({ status: 'completed', result: { receipt: { id: 'found' } } });
    expect(made).toEqual([1]);
  });

  test('`again` holds for one call alone: the next doubt is a new question', async () => {
    const { made, pay } = payment(new Error('one'), new Error('two'));
    const { queue, conductor, task } = await run(async (config) => once(config, 'pay', pay));
    const second = await answered(conductor, queue, 'again' as never);
    expect(second.status).toBe('waiting');
    expect(second.interrupts![0]!.id).not.toBe(task.interrupts![0]!.id);
    const refused = await answered(conductor, queue, 'maybe' as never);
    expect(refused.interrupts).toMatchObject([
      { value: { refusedBecause: expect.stringContaining('again') } },
    ]);
    expect(made).toEqual([1, 2]);
    const end = await answered(conductor, queue, { choice: 'again' } as never);
    expect(end).toMatchObject({ status: 'completed', result: { receipt: { id: 'receipt 3' } } });
  });

  test('a question about a call takes no answer from the questions of its node', async () => {
    const { made, pay } = payment(new Error('reset'));
    const node: Node = async (config) => {
      const receipt = await once(config, 'pay', pay);
      return { receipt, ship: interrupt('ship?') };
    };
    const { queue, conductor } = await run(node);
    const asked = await answered(conductor, queue, { happened: 1 } as never);
    expect(asked.interrupts).toMatchObject([{ value: 'ship?' }]);
    const end = await answered(conductor, queue, 'yes' as never);
    expect(end.result).toMatchObject({ receipt: { receipt: 1, ship: 'yes' } });
    expect(made).toEqual([1]);
  });

  test.each([
    ['done', { done: { id: 'found' } }, 1, 'found'],
    ['retry', 'retry' as const, 2, 'receipt 2'],
  ])('reconcile settles a doubt: %s', async (_name, verdict, calls, id) => {
    const { made, pay } = payment(new Error('reset'));
    const doubts: unknown[] = [];
    const reconcile: OnceOptions<unknown>['reconcile'] = (key, doubt) => {
      doubts.push([key, doubt.starts, doubt.attempt]);
      return verdict;
    };
    const { task } = await run(async (config) => once(config, 'pay', pay, { reconcile }));
    expect(task).toMatchObject({ status: 'completed', result: { receipt: { id } } });
    expect(made).toHaveLength(calls);
    expect(doubts).toEqual([['pay', 1, 1]]);
  });

  test('an unknown verdict asks a person', async () => {
    const { made, pay } = payment(new Error('reset'));
    const { task } = await run(async (config) => once(config, 'pay', pay, { reconcile: () => 'unknown' }));
    expect([task.status, made]).toEqual(['waiting', [1]]);
  });

  test('an error that proves that nothing happened puts nothing in doubt', async () => {
    const declined = new Error('declined');
    const { made, pay } = payment(declined, new RateLimitError('slow', { retryAfterMs: 1 }));
    const options = { nothingHappened: (error: unknown) => error === declined };
    const { task } = await run(async (config) => once(config, 'pay', pay, options));
    expect(task).toMatchObject({ status: 'completed', retryCount: 1 });
    expect(made).toEqual([1, 2, 3]);
    expect(task.effects).toMatchObject([{ state: 'done', starts: 3 }]);
  });

  test('a result that cannot be kept is not paid for twice', async () => {
    const { made, pay } = payment();
    const large = async () => ({ ...(await pay()), text: 'x'.repeat(EFFECTS_BYTES_MAX) });
    const { queue, conductor, task } = await run(async (config) => once(config, 'pay', large));
    expect(task).toMatchObject({ status: 'failed', error: { code: 'TOO_LARGE' } });
    await queue.retry('t');
    await conductor.processQueue({ untilEmpty: true });
    const end = await answered(conductor, queue, { happened: 'small' } as never);
    expect(end).toMatchObject({ status: 'completed', result: { receipt: 'small' } });
    expect(made).toEqual([1]);
  });

  test('calls of one moment share a call under one key, and are stored in one step', async () => {
    const { made, pay } = payment();
    const { task } = await run((config) =>
      Promise.all(Array.from({ length: 50 }, (_, i) => once(config, `pay ${i % 25}`, pay))),
    );
    expect(task.status).toBe('completed');
    expect(made).toHaveLength(25);
    expect(task.effects).toHaveLength(25);
  });

  test('who has lost the task starts nothing', async () => {
    const { made, pay } = payment();
    const queue = new MemoryTaskQueue();
    let refusal: unknown;
    const node: Node = async (config) => {
      await queue.updateStatus('t', 'cancelled');
      refusal = await once(config, 'pay', pay).catch((error: unknown) => error);
      return 1;
    };
    await using conductor = new Conductor({ agents: { agent: oneNode(node) }, queue });
    await conductor.enqueueGoal('buy', { id: 't' });
    await conductor.processQueue({ untilEmpty: true });
    await until(() => refusal !== undefined);
    expect(refusal).toMatchObject({ code: 'LEASE_LOST' });
    expect(made).toEqual([]);
  });

  test('an agent without a graph waits for a person too', async () => {
    const { made, pay } = payment(new Error('reset'));
    const agent = { invoke: (_input: unknown, config: RunConfig) => once(config, 'pay', pay) };
    const { queue, conductor, task } = await run(agent as never);
    expect(task.status).toBe('waiting');
    const end = await answered(conductor, queue, { happened: 'yes' } as never);
    expect([end.result, made]).toEqual(['yes', [1]]);
  });

  test('without a queue a resumed thread repeats nothing, and a new goal on it pays anew', async () => {
    const { made, pay } = payment();
    await using conductor = new Conductor({ agents: { agent: oneNode(failingAfter(pay)) } });
    await expect(conductor.run('buy', { threadId: 'th' })).rejects.toThrow('after the payment');
    expect(await conductor.run('buy', { threadId: 'th' })).toMatchObject({
      result: { receipt: { id: 'receipt 1' } },
    });
    expect(made).toEqual([1]);
    await conductor.run('buy again', { threadId: 'th' });
    expect(made).toEqual([1, 2]);
  });

  test('outside of a run it says what is missing', async () => {
    await expect(once({}, 'k', () => 1)).rejects.toMatchObject({ code: 'NO_RUN' });
  });
});

/** The model has asked for the tool; the tool node runs, then a node that fails the first time. */
function toolGraph(payTool: never) {
  let runs = 0;
  return new StateGraph(MessagesAnnotation)
    .addNode('model', () => ({
      messages: [new AIMessage({ content: '', tool_calls: [{ name: 'pay', args: { eur: 5 }, id: 'c1' }] })],
    }))
    .addNode('tools', async (state, config) => {
      const found = await new ToolNode([payTool]).invoke(state, config);
      if (++runs === 1) throw new Error('after the tool');
      return found as { messages: BaseMessage[] };
    })
    .addEdge(START, 'model')
    .addEdge('model', 'tools')
    .addEdge('tools', END)
    .compile();
}

async function runTool(payTool: unknown) {
  const queue = new MemoryTaskQueue({ retry: { initialInterval: 1, maxInterval: 1, jitter: false } });
  const conductor = new Conductor({ agents: { agent: toolGraph(payTool as never) }, queue });
  await conductor.enqueueGoal('buy', { id: 't' });
  await conductor.processQueue({ untilEmpty: true });
  return { queue, conductor, task: (await queue.getTask('t'))! };
}

function payTool(pay: (eur: number) => Promise<unknown>) {
  return tool(async ({ eur }) => pay(eur), {
    name: 'pay',
    description: 'pays',
    schema: z.object({ eur: z.number() }),
  });
}

describe('onceTool', () => {
  test('a tool call is known by its id, and its result by the record', async () => {
    const { made, pay } = payment();
    const original = payTool(async (eur) => `${eur} ${(await pay()).id}`);
    const wrapped = onceTool(original);
    const { task } = await runTool(wrapped);
    expect(task).toMatchObject({ status: 'completed', retryCount: 1 });
    expect(made).toEqual([1]);
    expect((task.result as { messages: { content: string }[] }).messages.at(-1)?.content).toBe('5 receipt 1');
    expect(task.effects).toMatchObject([{ key: 'tool:pay:c1', state: 'done', starts: 1 }]);
    expect([wrapped.name, wrapped.description, wrapped.schema]).toEqual(['pay', 'pays', original.schema]);
  });

  test('a tool call in doubt is no message to the model: the task waits', async () => {
    const { made, pay } = payment(new Error('reset'));
    const { queue, conductor, task } = await runTool(onceTool(payTool(pay)));
    expect(task).toMatchObject({
      status: 'waiting',
      retryCount: 0,
      interrupts: [{ value: { error: 'reset' } }],
    });
    const end = await answered(conductor, queue, { happened: 'paid' } as never);
    expect(end.status).toBe('completed');
    expect((end.result as { messages: { content: string }[] }).messages.at(-1)?.content).toBe('paid');
    expect(made).toEqual([1]);
  });

  test('where reconcile says that nothing happened, the model hears of the error', async () => {
    const { made, pay } = payment(new Error('reset'));
    const { task } = await runTool(onceTool(payTool(pay), { reconcile: () => 'retry' }));
    // The node failed once after the tool: its second run makes the call again.
    expect([task.status, made]).toEqual(['completed', [1, 2]]);
    expect(task.effects).toMatchObject([{ state: 'done', starts: 2 }]);
  });

  test('input that the tool does not take is no start', async () => {
    const { made, pay } = payment();
    const wrapped = onceTool(payTool(pay));
    const { task } = await run(async (config) =>
      wrapped.invoke({ eur: 'five' } as never, config as never).catch((error: Error) => error.message),
    );
    expect([task.effects, made]).toEqual([undefined, []]);
  });

  test('messages and commands come back as such; a key may be given', async () => {
    const made: string[] = [];
    const seen: unknown[] = [];
    const { Command } = await import('@langchain/langgraph');
    let runs = 0;
    const tools = [
      payTool(async () => new ToolMessage({ content: 'm', tool_call_id: 'x', name: 'pay' })),
      payTool(async () => new Command({ update: { messages: [new HumanMessage('hi')] }, goto: 'model' })),
    ].map((each, i) => onceTool(each, { key: (input, id) => `${JSON.stringify(input)} ${id} ${i}` }));
    const { task } = await run(async (config) => {
      for (const each of tools)
        seen.push(
          await each.invoke(
            { type: 'tool_call', id: 'c', name: 'pay', args: { eur: 1 } } as never,
            config as never,
          ),
        );
      if (++runs === 1) throw new Error('again');
      return made.length;
    });
    expect(task.effects?.map(({ key }) => key)).toEqual(['{"eur":1} c 0', '{"eur":1} c 1']);
    expect(seen).toHaveLength(4);
    expect(seen[2]).toBeInstanceOf(ToolMessage);
    expect(seen[3]).toBeInstanceOf(Command);
    expect(seen[3]).toEqual(seen[1]);
  });

  test('in an agent of createAgent the run stops at the call in doubt, and goes on from there', async () => {
    const { made, pay } = payment(new Error('reset'));
    const model = fakeModel()
      .respondWithTools([{ name: 'pay', args: { eur: 5 }, id: 'c1' }])
      .respond(new AIMessage('thank you'));
    const agent = createAgent({ model, tools: [onceTool(payTool(pay))] });
    const queue = new MemoryTaskQueue({ retry: { initialInterval: 1, maxInterval: 1, jitter: false } });
    await using conductor = new Conductor({ agents: { agent }, queue });
    await conductor.enqueueGoal('buy', { id: 't' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await queue.getTask('t')).toMatchObject({ status: 'waiting', effects: [{ key: 'tool:pay:c1' }] });
    const end = await answered(conductor, queue, { happened: 'paid' } as never);
    const { messages } = end.result as { messages: { content: string }[] };
    expect(messages.map(({ content }) => content).slice(-2)).toEqual(['paid', 'thank you']);
    expect([made, model.calls.length]).toEqual([[1], 2]);
  });
});

test('a question about a call reaches those who read along', async () => {
  const { made, pay } = payment(new Error('reset'));
  await using conductor = new Conductor({ agents: { agent: oneNode((config) => once(config, 'pay', pay)) } });
  await expect(conductor.run('buy', { threadId: 'th' })).rejects.toThrow('reset');
  const events: RunEvent[] = [];
  for await (const event of conductor.stream('buy', { threadId: 'th' })) events.push(event);
  expect(events.at(-1)).toMatchObject({
    type: 'waiting',
    interrupts: [{ value: { jotty: 'once', key: 'pay' } }],
  });
  const { interrupts } = events.at(-1) as unknown as { interrupts: { id: string }[] };
  const answers = { [interrupts[0]!.id]: { happened: 1 } };
  expect(await conductor.run('buy', { threadId: 'th', answers })).toMatchObject({ result: { receipt: 1 } });
  expect(made).toEqual([1]);
});
