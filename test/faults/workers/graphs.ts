import { setTimeout } from 'node:timers/promises';
import {
  Annotation,
  END,
  interrupt,
  type LangGraphRunnableConfig,
  START,
  StateGraph,
} from '@langchain/langgraph';
import type { AgentInput, AttemptInfo } from '../../../src/orchestration/agent.ts';
import type { CompiledGraph } from '../../../src/orchestration/graph.ts';
import { dynamicAgent, staticAgent } from '../../../src/orchestration/team.ts';
import { block, isFirstRun, never } from './misdeeds.ts';
import { appendLog, say } from './protocol.ts';

const State = Annotation.Root({
  /** How long the graph's slow nodes take, ms. */
  ms: Annotation<number>(),
  /** What the `gate` graph waits for on its first run. */
  until: Annotation<'return' | 'abort'>(),
  /** Whether the `gate` graph waits for the test on its second run. */
  hold: Annotation<boolean>(),
  /** The nodes that have finished, in order: what a resumed run must not repeat. */
  path: Annotation<string[]>({ reducer: (left, right) => [...left, ...right], default: () => [] }),
  approved: Annotation<string>(),
});
type State = typeof State.State;

/** A run of a node: what it works on, and the proof of who it is. */
interface Run {
  readonly state: State;
  readonly info: AttemptInfo;
  readonly first: boolean;
  readonly gate: Gate;
}
type Deed = (run: Run) => Promise<Partial<State> | undefined>;

/** The agents of `graph-worker`, by name. Every node logs its start and its end. */
export function agents(log: string, gate: Gate) {
  const chain = (deeds: Readonly<Record<string, Deed>>) => compile(log, gate, deeds);
  const slow: Deed = ({ state, info }) => sleep(state.ms, info.signal);
  return {
    steps: chain({ a: slow, b: slow, c: slow }),
    five: chain({ n1: done, n2: done, n3: approval, n4: done, n5: done }),
    ...teams({
      first: chain({ n1: done, n2: done }),
      second: chain({ n3: approval }),
      third: chain({ n4: done, n5: done }),
    }),
    gate: chain({ a: done, b: frozen, c: done }),
    blocker: chain({ a: done, b: blocking, c: done }),
    patient: chain({ a: untilAborted }),
    told: chain({ a: done, b: untilTold, c: done }),
    deaf: chain({ a: late, b: done }),
    call: { invoke: (input: unknown, options: CallOptions) => call(log, gate, input, options) },
    plan: { invoke: (input: AgentInput, options: CallOptions) => planned(log, input, options) },
  };
}

/** The five nodes as three agents, in an order that is given, or that a router finds. */
function teams<Name extends string>(members: Readonly<Record<Name, CompiledGraph>>) {
  const order = Object.keys(members) as Name[];
  return {
    staticTeam: staticAgent({ agents: members, plan: order }),
    dynamicTeam: dynamicAgent({
      agents: members,
      router: ({ path }) => order[path.length] ?? '__end__',
    }),
  };
}

/** Opened by the test for one task at a time. */
export class Gate {
  readonly #open = new Map<string, () => void>();

  wait(id: string): Promise<void> {
    return new Promise((resolve) => this.#open.set(id, resolve));
  }

  open(id: string): void {
    this.#open.get(id)?.();
  }
}

function compile(log: string, gate: Gate, deeds: Readonly<Record<string, Deed>>) {
  const names = Object.keys(deeds);
  const builder = new StateGraph(State);
  for (const name of names) builder.addNode(name, node(log, gate, name, deeds[name]!));
  const graph = builder as unknown as { addEdge(from: string, to: string): unknown };
  for (const [i, name] of [START, ...names].entries()) graph.addEdge(name, names[i] ?? END);
  return builder.compile();
}

function node(log: string, gate: Gate, name: string, deed: Deed) {
  return async (state: State, config: LangGraphRunnableConfig): Promise<Partial<State>> => {
    const info = config.configurable?.jotty as AttemptInfo;
    const line = { id: info.threadId, node: name, fence: info.fence };
    appendLog(log, { ...line, phase: 'start' });
    const first = isFirstRun(log, info.threadId, name);
    const change = await deed({ state, info, first, gate });
    appendLog(log, { ...line, phase: 'end' });
    return { path: [name], ...change };
  };
}

const done: Deed = async () => undefined;

const approval: Deed = async () => ({ approved: interrupt<string, string>('may I go on?') });

/** The first run waits here to be stopped in its tracks; it pays no attention to its signal. */
const frozen: Deed = async ({ state, info, first, gate }) => {
  if (!first) return state.hold ? held(info.threadId, gate) : undefined;
  info.signal.addEventListener('abort', () => say('aborted', { id: info.threadId, at: Date.now() }), {
    once: true,
  });
  say('in-gate', { id: info.threadId });
  // Without a turn of the event loop in between, so that on waking its return comes before any news.
  if (state.until === 'return') block(state.ms);
  else await aborted(info.signal);
  say('out-of-gate', { id: info.threadId });
  return undefined;
};

/** Ends when the test says so. */
const untilTold: Deed = ({ info, gate }) => held(info.threadId, gate);

async function held(id: string, gate: Gate): Promise<undefined> {
  const opened = gate.wait(id);
  say('holding', { id });
  await opened;
  return undefined;
}

const blocking: Deed = async ({ state, info, first }) => {
  if (!first) return undefined;
  say('blocking', { id: info.threadId });
  block(state.ms);
  say('unblocked', { id: info.threadId });
  return undefined;
};

const untilAborted: Deed = async ({ info }) => {
  say('waiting', { id: info.threadId });
  await aborted(info.signal);
  say('aborted', { id: info.threadId, at: Date.now() });
  throw info.signal.reason;
};

/** Ignores its signal; with `ms: 0` it never ends. */
const late: Deed = async ({ state, info }) => {
  say('waiting', { id: info.threadId });
  await (state.ms === 0 ? never() : sleep(state.ms));
  say('late', { id: info.threadId, at: Date.now() });
  return { path: ['too late'] };
};

interface CallOptions {
  readonly configurable: { readonly jotty: AttemptInfo };
}

/** An agent without a graph: one call that ends when the test says so. */
async function call(
  log: string,
  gate: Gate,
  _input: unknown,
  { configurable }: CallOptions,
): Promise<unknown> {
  const { threadId: id, fence } = configurable.jotty;
  appendLog(log, { id, node: 'call', phase: 'start', fence });
  const opened = gate.wait(id);
  say('calling', { id });
  await opened;
  appendLog(log, { id, node: 'call', phase: 'end', fence });
  say('called', { id });
  return { answer: 42 };
}

/** An agent without a graph that takes as long as its input says, and comes to what it says; null is a failure. */
async function planned(
  log: string,
  { ms, outcome }: AgentInput,
  { configurable }: CallOptions,
): Promise<number> {
  const { threadId: id, fence, signal } = configurable.jotty;
  appendLog(log, { id, node: 'plan', phase: 'start', fence });
  await sleep(Number(ms), signal);
  appendLog(log, { id, node: 'plan', phase: 'end', fence });
  if (typeof outcome !== 'number') throw new Error('as planned');
  return outcome;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** With a signal it ends as well-behaved work does: at once, and leaving no timer. */
async function sleep(ms: number, signal?: AbortSignal): Promise<undefined> {
  await setTimeout(ms, undefined, signal && { signal });
  return undefined;
}
