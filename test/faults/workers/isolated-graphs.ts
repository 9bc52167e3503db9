/** Agents that tests run in threads and processes. They say what they are about to do, and most of it is not survived. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import {
  Annotation,
  Command,
  END,
  interrupt,
  MessagesAnnotation,
  START,
  StateGraph,
} from '@langchain/langgraph';
import {
  type AgentCallOptions,
  type AttemptInfo,
  dynamicAgent,
  enqueueChildren,
  once,
  type RunConfig,
  staticAgent,
} from '../../../src/index.ts';

const State = Annotation.Root({
  goal: Annotation<string>(),
  /** Where to write what happens. */
  file: Annotation<string>(),
  ms: Annotation<number>(),
  path: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  answer: Annotation<string>(),
  when: Annotation<Date>(),
});
type Deed = (state: typeof State.State, config: RunConfig & { writer?: (chunk: unknown) => void }) => unknown;

const infoOf = (config: RunConfig) => config.configurable?.jotty as AttemptInfo;

/** a → b → c, where b does the deed. */
function around(deed: Deed) {
  const node = (name: string, act: Deed) => async (state: typeof State.State, config: RunConfig) => ({
    path: [`${name}:${process.pid}`],
    ...((await act(state, config)) as object | undefined),
  });
  return new StateGraph(State)
    .addNode(
      'a',
      node('a', () => ({ when: new Date(5) })),
    )
    .addNode('b', node('b', deed))
    .addNode(
      'c',
      node('c', ({ when }) => ({ answer: `${when instanceof Date}` })),
    )
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .addEdge('b', 'c')
    .addEdge('c', END)
    .compile();
}

const note = (file: string, text: string) => writeFileSync(file, `${text}\n`, { flag: 'a' });

/** As `around`, and notes each node that begins. */
const noting = (name: string, deed: Deed) => {
  const step = (node: string, act: Deed) => (state: typeof State.State, config: RunConfig) => {
    note(state.file, `${name}.${node}`);
    return (act(state, config) as object | undefined) ?? {};
  };
  return new StateGraph(State)
    .addNode(
      'a',
      step('a', () => undefined),
    )
    .addNode('b', step('b', deed))
    .addNode(
      'c',
      step('c', () => undefined),
    )
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .addEdge('b', 'c')
    .addEdge('c', END)
    .compile();
};
const isFirst = (config: RunConfig) => infoOf(config).attempt === 1;

export const first = noting('first', () => undefined);
/** Takes its thread or process with it, once. */
export const dies = noting('dies', (_, config) => (isFirst(config) ? process.exit(3) : { answer: 'alive' }));
/** Uses up its heap, once. */
export const bursts = noting('bursts', (_, config) => {
  const kept: number[][] = [];
  while (isFirst(config)) kept.push(new Array<number>(10_000).fill(kept.length));
  return { answer: 'alive' };
});
/** Two questions of one node, the second with the answer to the first. */
export const interviews = noting('interviews', () => {
  const name = interrupt<string, string>('name?');
  return { answer: `${name} ${interrupt<string, string>(`${name}, why?`)}` };
});
export const pauses = noting('pauses', () => new Promise((resolve) => setTimeout(() => resolve({}), 300)));
/** Leaves a call in doubt, once. */
export const doubts = noting('doubts', async ({ file }, config) => {
  const paid = await once(config, 'pay', () => {
    note(file, 'paying');
    return isFirst(config) ? process.exit(3) : { receipt: 1 };
  });
  return { answer: JSON.stringify(paid) };
});
/** With settings of its own, which its conductor does not know. */
export const dressed = {
  graph: noting('dressed', ({ goal }) => ({ answer: `${goal}!` })),
  toInput: ({ payload }: { payload: { goal?: unknown; input?: unknown } }) => ({
    ...(payload.input as object),
    goal: `dear ${payload.goal}`,
  }),
  toResult: ({ answer }: { answer?: unknown }) => ({ said: answer }),
};
export const plain = around(() => undefined);
export const asks = around(() => ({ goal: interrupt<string, string>('which?') }));
export const shows = around((_, config) => config.writer?.({ shown: 1 }));
export const fails = around(() => {
  throw Object.assign(new Error('as planned'), { code: 'PLANNED', detail: 7 });
});
export const once1 = around(async ({ file }, config) => {
  const told = await once(config, 'pay', () => {
    note(file, 'paid');
    return { receipt: 1 };
  });
  if (infoOf(config).attempt === 1) throw new Error('after the payment');
  return { goal: `${told.receipt}` };
});
export const parent = around(async (_, config) => {
  await enqueueChildren(config, [{ goal: 'child', id: 'child', agent: 'plain' }]);
});
export const spender = around(async ({ file }, config) => {
  await model(1).invoke('go');
  await enqueueChildren(config, [{ goal: 'child', id: 'child', agent: 'spends', input: { file, ms: 5 } }]);
});
/** Leaves the goal to another agent of its team. */
export const hands = new StateGraph(State)
  .addNode('hand', () => new Command({ goto: 'call', update: { answer: 'mine' }, graph: Command.PARENT }), {
    ends: [],
  })
  .addEdge(START, 'hand')
  .compile();
export const drains = around(({ file }) => {
  note(file, 'in b');
  return new Promise((resolve) => setTimeout(resolve, 300));
});
/** Stops at its signal, after a moment. */
export const heeds = around(async ({ file }, config) => {
  note(file, `started ${process.pid}`);
  const { signal } = infoOf(config);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  note(file, 'cleaned up');
});
export const deaf = around(({ file }) => {
  note(file, `started ${process.pid}`);
  return new Promise(() => setInterval(() => note(file, 'alive'), 20));
});
/** As soon as `deaf` lives. */
export const failsBeside = around(async ({ file }) => {
  while (!existsSync(file) || !readFileSync(file, 'utf8').includes('alive'))
    await new Promise((resolve) => setTimeout(resolve, 20));
  throw new Error('as planned');
});
export const blocks = around(({ file, ms }) => {
  note(file, `started ${process.pid}`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
});
export const eats = around(({ file }) => {
  note(file, 'started');
  const kept: number[][] = [];
  for (;;) kept.push(new Array<number>(10_000).fill(kept.length));
});
export const faults = around(({ file }) => {
  note(file, 'started');
  process.kill(process.pid, 'SIGSEGV');
  return new Promise(() => {});
});
/** A model whose answers weigh 10 tokens each; `before` is what it does before it answers. */
function model(answers: number, before: () => void = () => {}) {
  const usage_metadata = { input_tokens: 9, output_tokens: 1, total_tokens: 10 };
  const made = fakeModel();
  for (let i = 0; i < answers; i++)
    made.respond(() => {
      before();
      return new AIMessage({ content: 'ok', usage_metadata, response_metadata: { model: 'fake' } } as never);
    });
  return made;
}
export const spends = around(async ({ file, ms: calls }) => {
  const asked = model(calls, () => note(file, 'called'));
  for (let i = 0; i < calls; i++) await asked.invoke('go');
});
export const spendsTogether = around(async ({ file, ms: calls }) => {
  const asked = model(calls, () => note(file, 'called'));
  await Promise.all(Array.from({ length: calls }, () => asked.invoke('go')));
});
/** Its event loop is blocked in the middle of a call. */
export const stuck = around(async ({ file, ms }) => {
  const block = () => {
    note(file, 'calling');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  };
  await model(1, block).invoke('go');
});
/** The call outlives its node. */
export const leaves = around(() => {
  const hangs = fakeModel();
  hangs._generate = () => new Promise(() => {});
  hangs.invoke('go').catch(() => {});
  return new Promise((resolve) => setTimeout(resolve, 50));
});
/** A router that never ends, and what the team of one may spend. */
export const bounded = dynamicAgent({
  agents: {
    asking: {
      graph: around(() =>
        model(1)
          .invoke('go')
          .then(() => ({})),
      ),
    },
  },
  router: () => 'asking',
  budget: { modelCalls: 2 },
});
export const asking = {
  invoke: async ({ goal }: { goal?: string }, { callbacks, metadata }: AgentCallOptions) => {
    await model(1).invoke('go', { callbacks, metadata } as never);
    return { said: goal };
  },
};
export const exits = around(() => process.exit(3));
/** Of two agents, the second of which dies. */
export const pair = staticAgent({ agents: { first, dies }, plan: ['first', 'dies'] });
/** Word for word, where somebody listens. */
export const speaks = around(async () => {
  await new FakeListChatModel({ responses: ['by and by'] }).invoke('go');
});
export const duo = staticAgent({ agents: { first, plain }, plan: ['first', 'plain'] });
export const call = { invoke: ({ goal }: { goal?: string }) => ({ said: goal, pid: process.pid }) };
export const chats = new StateGraph(MessagesAnnotation)
  .addNode('say', ({ messages }) => ({ messages: [new AIMessage(`heard ${messages.at(-1)?.text}`)] }))
  .addEdge(START, 'say')
  .addEdge('say', END)
  .compile();
