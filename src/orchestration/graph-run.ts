import { FENCE_KEY, isFenced } from '../checkpoint/fence.ts';
import { InvalidTaskError, JottyError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import type { TaskAnswer, TaskInterrupt } from '../queue/task.ts';
import type { AttemptInfo } from './agent.ts';
import { breakpointQuestion, standsAtBreakpoint } from './breakpoints.ts';
import {
  type Checkpointer,
  type CheckpointRecord,
  type GraphConfig,
  type GraphInterruption,
  type GraphOptions,
  type GraphState,
  interruptsOf,
  outputOf,
  type RunControl,
  type RunnableGraph,
  resumeCommand,
} from './graph.ts';
import { AGENT_KEY } from './graph-fingerprint.ts';
import { judgeGraph, type Migrate } from './graph-verdict.ts';
import { customWriter, type Hearing, listenedTo } from './listening.ts';
import { answerTo, askedAgain, askingId, identified, isRefusedAnswer } from './questions.ts';
import { quietRun } from './quiet-run.ts';
import { FORK_KEY } from './run-saver.ts';
import { OpenThreadError, type SharedThread, takeThread, writerOf } from './shared-thread.ts';

/** One run of a graph on one thread. */
export interface GraphRun {
  /** Its checkpointer is `checkpointer`. */
  readonly graph: RunnableGraph;
  readonly checkpointer: Checkpointer;
  readonly info: AttemptInfo;
  /** The thread is one that the task has named: others may have run on it before, and may again. */
  readonly shared?: SharedThread | undefined;
  readonly control: RunControl;
  readonly answers: readonly TaskAnswer[];
  readonly recursionLimit: number | undefined;
  /** The hash of the graph, and what moves a thread of another version of it. */
  readonly fingerprint: string;
  readonly migrate: Migrate | undefined;
  /** Agents in whose place this one was put: what they have begun is begun anew. */
  readonly replaces?: readonly string[] | undefined;
  /** Whether the fence is the lease's: false without a queue. */
  readonly fenced: boolean;
  /** A thread that has finished gets the input anew, on top of its state. Never for queued tasks. */
  readonly startsAgain: boolean;
  /** With `startsAgain`: an unfinished run of another goal is not taken for this one. */
  readonly goal?: string | undefined;
  input(): Promise<unknown>;
  /** undefined where nobody listens: then the graph does not stream. */
  readonly onChunk: ((namespace: readonly string[], mode: string, chunk: unknown) => void) | undefined;
  /** Whether the tokens of models are chunks too, in mode `messages`; then models stream where they can. */
  readonly streamsTokens?: boolean | undefined;
  /** Whether what nodes gave to the state is a chunk too, in mode `updates`. */
  readonly streamsUpdates?: boolean | undefined;
  /** Nobody traces it, so that it may run without what LangChain does for those who do; see quietRun. */
  readonly isQuiet?: boolean | undefined;
  /** LangChain's callback handlers, which everything that runs in the graph has too. */
  readonly callbacks?: object | undefined;
  /** Takes what nodes write by `config.writer`. */
  readonly onCustom: ((chunk: unknown) => void) | undefined;
}

/** Its writes carry this fence. */
type FencedRun = GraphRun & { readonly fence?: number };

export type GraphEnd =
  | { readonly status: 'completed'; readonly values: unknown }
  | { readonly status: 'waiting'; readonly interrupts: readonly TaskInterrupt[] };

/** Before the first claim nobody held the task: there is no earlier holder to keep from writing. */
const FIRST_FENCE = 1;

/**
 * The rules by which a queue may run a graph, each of them tried with SIGKILL in every node:
 *
 * - at the first claim ever there is no checkpoint: one that is there belongs to something else;
 * - no checkpoint: the input; a checkpoint: `null`, never the input again;
 * - a checkpoint of another version of the graph: only where nothing it needs is missing here;
 * - a checkpoint with nothing left to do: it had finished before that could be recorded;
 * - an answer is sent by the id of its question, and only after this very run has reported that question;
 * - a breakpoint is passed only with an answer.
 *
 * Rejects with whatever the graph throws; see `outcomeOf`.
 */
export async function runGraph(task: GraphRun): Promise<GraphEnd> {
  const { checkpointer, info, shared } = task;
  // Before the thread is taken: who stands at a question there is not to be disturbed.
  if (shared !== undefined) await refuseOpenThread(task, shared, await checkpointer.getTuple(threadOf(task)));
  const fence = await heldFence(task);
  const run: FencedRun = fence === undefined ? task : { ...task, fence };
  const saved = await checkpointer.getTuple(threadOf(run));
  if (saved === undefined || (await isReplaced(run, saved))) return converse(run, await run.input());
  if (shared !== undefined && writerOf(saved) !== shared.taskId) {
    await refuseOpenThread(run, shared, saved);
    return converse(run, await run.input());
  }
  const isFork = saved.metadata?.[FORK_KEY] === info.threadId;
  if (run.fenced && shared === undefined && info.fence === FIRST_FENCE && !isFork)
    refuseTakenThread(info.threadId);
  const state = await run.graph.getState(threadOf(run));
  const { graph, fingerprint, migrate } = run;
  const judged = { graph, checkpointer, agent: info.agent, threadId: info.threadId, fingerprint, migrate };
  const verdict = await judgeGraph({ ...judged, config: writingConfig(run) }, saved, state);
  if (verdict === 'migrate') return converse(run, null);
  if (state.tasks.length > 0) return resume(run, state);
  if (run.startsAgain) return converse(run, await run.input());
  return { status: 'completed', values: outputOf(run.graph, state.values) };
}

/** Deletes what an agent has begun that this one takes the place of; their graphs have nothing in common. */
async function isReplaced(run: FencedRun, saved: CheckpointRecord): Promise<boolean> {
  const { replaces = [], checkpointer, info, shared, fence } = run;
  const agent: unknown = saved.metadata?.[AGENT_KEY];
  if (shared !== undefined || agent === info.agent || !replaces.some((name) => name === agent)) return false;
  await checkpointer.deleteThread?.(info.threadId);
  // With the thread its fence has gone.
  if (isFenced(checkpointer) && fence !== undefined) await checkpointer.advanceFence(info.threadId, fence);
  return true;
}

/** The fence under which the run writes, told to the saver before the state is read. */
async function heldFence({ fenced, checkpointer, info, shared }: GraphRun): Promise<number | undefined> {
  if (!fenced) return undefined;
  if (!isFenced(checkpointer)) return info.fence;
  if (shared !== undefined) return takeThread(checkpointer, info.threadId, shared);
  if (info.fence > FIRST_FENCE) await checkpointer.advanceFence(info.threadId, info.fence);
  return info.fence;
}

/** What another task has left unfinished is not built upon while that one may still go on with it. */
async function refuseOpenThread(
  run: GraphRun,
  shared: SharedThread,
  saved: CheckpointRecord | undefined,
): Promise<void> {
  const writer = saved && writerOf(saved);
  if (writer === undefined || writer === shared.taskId) return;
  const state = await run.graph.getState(threadOf(run));
  if (state.tasks.length > 0 && (await shared.isOpen(writer)))
    throw new OpenThreadError(run.info.threadId, writer);
}

async function resume(run: FencedRun, state: GraphState): Promise<GraphEnd> {
  refuseOtherGoal(run, state.values);
  if (await standsAtBreakpoint(run.graph, state)) {
    const question = breakpointQuestion(state);
    if (answerTo(question, run.answers) === undefined) return { status: 'waiting', interrupts: [question] };
  }
  return converse(run, null);
}

/** What this run has told the graph so far. */
interface Conversation {
  readonly sent: Set<TaskAnswer>;
  readonly passed: Map<string, number>;
  /** Why the graph did not take the answers just sent. */
  refusal: string | undefined;
}

/** Runs until the graph ends or asks something that has no answer yet. */
async function converse(run: FencedRun, first: unknown): Promise<GraphEnd> {
  let input = first;
  const said: Conversation = { sent: new Set(), passed: new Map(), refusal: undefined };
  for (;;) {
    const result = await invokeOnce(run, input).catch((error: unknown) => {
      if (said.sent.size === 0 || said.refusal !== undefined || !isRefusedAnswer(error)) throw error;
      said.refusal = error.message;
      return REFUSED;
    });
    input = null;
    if (result === REFUSED) continue;
    const reported = interruptsOf(result);
    if (reported === undefined) return { status: 'completed', values: result };
    const next =
      reported.length === 0 ? await passBreakpoint(run, said) : await answerOpen(run, reported, said);
    if ('status' in next) return next;
    input = next.input;
    said.refusal = undefined;
  }
}

const REFUSED = Symbol('refused');
type NextInput = { readonly input: unknown };

/** After a stop without a question: on, where somebody said so. */
async function passBreakpoint(run: FencedRun, said: Conversation): Promise<GraphEnd | NextInput> {
  const state = await run.graph.getState(threadOf(run), { subgraphs: true });
  if (state.tasks.length === 0) return { status: 'completed', values: outputOf(run.graph, state.values) };
  const stop = breakpointQuestion(state);
  const passed = said.passed.get(stop.id) ?? 0;
  const question = { ...stop, id: askingId(stop.id, passed) };
  if (!run.answers.some((answer) => answer.id === question.id))
    return { status: 'waiting', interrupts: [question] };
  said.passed.set(stop.id, passed + 1);
  return { input: null };
}

/** Sends the answers known for the questions just reported; without any, the task waits. */
async function answerOpen(
  run: FencedRun,
  reported: readonly GraphInterruption[],
  said: Conversation,
): Promise<GraphEnd | NextInput> {
  const open: TaskInterrupt[] = [];
  const resume: [string, JsonValue][] = [];
  for (const question of await identified(run.graph, run.checkpointer, run.info.threadId, reported)) {
    const known = answerTo(question, run.answers);
    if (known === undefined) open.push({ id: question.id, value: question.value });
    else if (said.sent.has(known.answer)) {
      open.push(askedAgain(question, known.askings, said.refusal ?? 'the answer was not taken'));
    } else {
      said.sent.add(known.answer);
      resume.push([question.graphId, known.answer.value]);
    }
  }
  if (resume.length === 0) return { status: 'waiting', interrupts: open };
  return { input: await resumeCommand(Object.fromEntries(resume)) };
}

async function invokeOnce(run: FencedRun, input: unknown): Promise<unknown> {
  const { onChunk, streamsTokens, streamsUpdates, isQuiet } = run;
  const modes = [...(streamsUpdates ? ['updates'] : []), 'tasks'];
  const hearing = onChunk && { modes, onChunk };
  const options = optionsOf(run);
  if (isQuiet && !streamsTokens) return quietRun(run.graph, input, options, hearing);
  if (hearing === undefined) return run.graph.invoke(input, options);
  const graph = streamsTokens ? undefined : listenedTo(run.graph, hearing);
  return graph === undefined ? streamOnce(run, input, hearing) : graph.invoke(input, options);
}

async function streamOnce(run: FencedRun, input: unknown, { modes, onChunk }: Hearing): Promise<unknown> {
  const { writer: _, ...given } = optionsOf(run);
  const options = {
    ...given,
    streamMode: ['values', ...modes, 'custom', ...(run.streamsTokens ? ['messages'] : [])],
    subgraphs: true,
  };
  let values: unknown;
  let interrupts: unknown[] | undefined;
  for await (const item of await run.graph.stream(input, options)) {
    const [namespace, mode, chunk] = item as [readonly string[], string, unknown];
    if (mode !== 'values') onChunk(namespace, mode, chunk);
    else if (namespace.length === 0) {
      const found = interruptsOf(chunk);
      if (found === undefined) values = chunk;
      else interrupts = [...(interrupts ?? []), ...found];
    }
  }
  const output = outputOf(run.graph, values);
  return interrupts === undefined ? output : { ...(output as object | undefined), __interrupt__: interrupts };
}

function optionsOf(run: FencedRun): GraphOptions {
  const { info } = run;
  return {
    configurable: {
      thread_id: info.threadId,
      __pregel_strict_resume: true,
      ...(run.fence === undefined ? {} : { [FENCE_KEY]: run.fence }),
      ...(info.model === undefined ? {} : { model: info.model }),
      jotty: info,
    },
    durability: 'sync',
    signal: info.signal,
    control: run.control,
    ...(run.callbacks === undefined ? {} : { callbacks: run.callbacks }),
    ...(run.recursionLimit === undefined ? {} : { recursionLimit: run.recursionLimit }),
    ...writerOfRun(run),
  };
}

function writerOfRun({ onChunk, onCustom }: FencedRun): Pick<GraphOptions, 'writer'> | undefined {
  const writer = onChunk === undefined ? onCustom : customWriter(onChunk);
  return writer && { writer };
}

/** With the fence, for what is written outside of a run of the graph. */
function writingConfig({ info, fence }: FencedRun): GraphConfig {
  return {
    configurable: { thread_id: info.threadId, ...(fence === undefined ? {} : { [FENCE_KEY]: fence }) },
  };
}

function threadOf(run: GraphRun): { readonly configurable: Readonly<Record<string, unknown>> } {
  return { configurable: { thread_id: run.info.threadId } };
}

/** Its result would be recorded as this task's, and nothing would run. */
function refuseTakenThread(threadId: string): never {
  throw new JottyError(
    'THREAD_TAKEN',
    `thread ${threadId} holds checkpoints of another run; delete it, or use another task id`,
  );
}

function refuseOtherGoal(run: GraphRun, values: unknown): void {
  const begun: unknown = (values as { goal?: unknown } | null)?.goal;
  if (run.goal === undefined || typeof begun !== 'string' || begun === run.goal) return;
  throw new InvalidTaskError(
    'threadId',
    `thread ${run.info.threadId} has an unfinished run of another goal; finish it first, or use another thread`,
  );
}
