import { isDeepStrictEqual } from 'node:util';
import type { JsonValue } from '../json.ts';
import type { TaskAnswer, TaskInterrupt } from '../queue/task.ts';
import type { Agent, AgentCallOptions, AgentInput, AgentTask, AttemptInfo } from './agent.ts';
import { loadAmbientConfig } from './ambient-config.ts';
import { type Checkpointer, type RunControl, withCheckpointer } from './graph.ts';
import { fingerprintOf } from './graph-fingerprint.ts';
import { inputFor } from './graph-input.ts';
import { type GraphRun, runGraph } from './graph-run.ts';
import { lazyFields } from './lazy-fields.ts';
import { lightCallbacks } from './light-callbacks.ts';
import { heldQuestions } from './once-question.ts';
import { toPlainJson } from './plain-result.ts';
import { canRunQuietly } from './quiet-run.ts';
import { isRemoteGraph, remoteAnswer, remoteQuestions, runRemote } from './remote-graph.ts';
import type { MeterHandler } from './remote-meter.ts';
import { setCallbacks } from './run-callbacks.ts';
import { RunSaver } from './run-saver.ts';
import type { StoreErrors } from './store-errors.ts';
import { watchNodes } from './watched-nodes.ts';

/** One run of an agent, with a queue or without. */
export interface Attempt
  extends Pick<
    GraphRun,
    | 'info'
    | 'shared'
    | 'control'
    | 'replaces'
    | 'onChunk'
    | 'streamsTokens'
    | 'streamsUpdates'
    | 'onCustom'
    | 'fenced'
    | 'startsAgain'
    | 'goal'
  > {
  readonly agent: Agent;
  readonly task: AgentTask;
  readonly answers: readonly TaskAnswer[];
  readonly info: AttemptInfo;
  readonly control: RunControl;
  /** LangChain's callback handlers, made when they are asked for. */
  readonly callbacks?: (() => [MeterHandler]) | undefined;
  /** Hears of each superstep that is stored, before the next one begins. */
  readonly onStep?: (() => Promise<void>) | undefined;
}

export type AttemptEnd =
  | { readonly status: 'completed'; readonly result: JsonValue }
  | { readonly status: 'waiting'; readonly interrupts: readonly TaskInterrupt[] };

/** Runs the agent on the task. Rejects with what the agent throws, or the saver; `errors` knows the saver's. */
export async function runAttempt(
  attempt: Attempt,
  checkpointer: () => Promise<Checkpointer>,
  errors?: StoreErrors,
): Promise<AttemptEnd> {
  const { isolated, load } = attempt.agent;
  if (isolated !== undefined) return isolated.run(attempt, checkpointer, errors);
  const { task } = attempt;
  const agent = load === undefined ? attempt.agent : await load();
  const graph = agent.compose === undefined ? agent.graph : await agent.compose();
  if (graph === undefined) {
    let state: unknown;
    try {
      state = await invoked(agent, attempt);
    } catch (error) {
      const interrupts = heldQuestions(error) ?? remoteQuestions(error, attempt.answers);
      if (interrupts === null) throw error;
      return { status: 'waiting', interrupts };
    }
    return { status: 'completed', result: resultOf(agent, state, task) };
  }
  const isWatched = watchNodes(graph);
  await loadAmbientConfig();
  const isQuiet = await canRunQuietly(graph);
  const opened = checkpointer();
  const fingerprint = fingerprintOf(graph);
  const marks = { graph: fingerprint, agent: agent.name, writer: attempt.shared?.taskId };
  const saver = new RunSaver(await (errors?.from(opened) ?? opened), errors, marks, attempt.onStep);
  const end = await runGraph({
    ...attempt,
    isQuiet,
    callbacks: await graphCallbacks(attempt, isWatched),
    graph: withCheckpointer(graph, saver.checkpointer),
    checkpointer: saver.checkpointer,
    recursionLimit: agent.recursionLimit,
    fingerprint,
    migrate: agent.migrate,
    input: async () => inputFor(agent, task),
  });
  await saver.stored();
  return end.status === 'waiting' ? end : { status: 'completed', result: resultOf(agent, end.values, task) };
}

/** An agent that is one call, or a graph elsewhere, which keeps its own checkpoints. */
function invoked(agent: Agent, attempt: Attempt): unknown {
  const { task, info, answers, shared, fenced } = attempt;
  const { invokable } = agent;
  const options = callOptions(attempt);
  if (!isRemoteGraph(invokable)) {
    const call = (input: unknown) => invokable.invoke(input as AgentInput, options);
    const input = inputFor(agent, task);
    return isPromise(input) ? input.then(call) : call(input);
  }
  return runRemote({
    graph: invokable,
    options,
    isResumed: info.attempt > 1 || answers.length > 0,
    isOwnThread: fenced && shared === undefined,
    input: () => inputFor(agent, task),
    answerTo: (question) => remoteAnswer(question, answers),
  });
}

function isPromise(input: unknown): input is Promise<unknown> {
  return typeof (input as { then?: unknown } | null | undefined)?.then === 'function';
}

/** Where all nodes can find them by themselves, the graph has none. */
async function graphCallbacks({ info, callbacks }: Attempt, isWatched: boolean): Promise<object | undefined> {
  if (callbacks === undefined) return undefined;
  const light = await lightCallbacks();
  if (!isWatched) return light(callbacks()[0]);
  setCallbacks(info, () => light(callbacks()[0]));
  return undefined;
}

/** The signal and the callbacks are made when they are asked for. */
const withSignalAndCallbacks = lazyFields<Attempt, Required<Pick<AgentCallOptions, 'signal' | 'callbacks'>>>({
  callbacks: ({ callbacks }) => callbacks?.() as object[],
  signal: ({ info }) => info.signal,
});

function callOptions(attempt: Attempt): AgentCallOptions {
  const { info, onChunk, onCustom } = attempt;
  const options = {
    // Of a queued run `onCustom` also reaches those who begin to read later.
    writer: onCustom ?? ((chunk) => onChunk?.([], 'custom', chunk)),
    configurable: {
      thread_id: info.threadId,
      ...(info.model !== undefined && { model: info.model }),
      jotty: info,
    },
  };
  return withSignalAndCallbacks(options, attempt);
}

/**
 * The results of other tasks that a workflow put into the state are no result of this one: handed on, each would
 * hold those of all before it, and a graph of tasks would grow them exponentially. What the agent made of that
 * channel is its own.
 */
function resultOf(agent: Agent, state: unknown, { results }: AgentTask): JsonValue {
  if (agent.toResult !== undefined) return toPlainJson(agent.toResult(state));
  const isGiven = results !== undefined && agent.inputs?.has('results');
  if (!isGiven || typeof state !== 'object' || state === null) return toPlainJson(state);
  const { results: kept, ...own } = state as Record<string, unknown>;
  return toPlainJson(isDeepStrictEqual(kept, results) ? own : state);
}
