import { createHash } from 'node:crypto';
import type { JsonValue } from '../json.ts';
import type { TaskAnswer, TaskInterrupt } from '../queue/task.ts';
import { type CompiledGraph, resumeCommand } from './graph.ts';
import { toPlainJson } from './plain-result.ts';
import { answerTo, askedAgain } from './questions.ts';

/** A graph of a deployment, as LangGraph's RemoteGraph shows it. It has its checkpoints there. */
interface RemoteGraph {
  invoke(input: unknown, options: object): Promise<unknown>;
  getState(config: object): Promise<RemoteState>;
}

interface RemoteState {
  readonly values: unknown;
  readonly next: readonly string[];
  readonly createdAt?: string;
  readonly tasks: readonly { readonly interrupts: readonly RemoteInterrupt[] }[];
}

interface RemoteInterrupt {
  readonly interrupt_id?: string;
  readonly id?: string;
  readonly value?: unknown;
}

/** A question of a graph elsewhere, by the id it has there. */
interface RemoteQuestion {
  readonly id: string;
  readonly value: JsonValue;
}

export interface RemoteRun {
  readonly graph: RemoteGraph;
  readonly options: { readonly configurable: { readonly thread_id: string } };
  /** Whether something of this may have run on the thread. */
  readonly isResumed: boolean;
  /** Whether what has finished on the thread is the end of this. */
  readonly isOwnThread: boolean;
  readonly input: () => unknown;
  /** The answer to a question, undefined where there is none yet. */
  readonly answerTo: (question: RemoteQuestion) => { readonly value: JsonValue } | undefined;
}

const NOT_FOUND = 404;
const ID_CHARS = 12;
const OPEN = Symbol('open');

/** Stops whoever called at the questions of a graph elsewhere; LangGraph knows it by its shape. */
class AskedElsewhere extends Error {
  readonly is_bubble_up = true;
  readonly interrupts: readonly RemoteQuestion[];
  /** Those whose answer has been sent, and which were asked again. */
  readonly refused: ReadonlySet<string>;

  constructor(interrupts: readonly RemoteQuestion[], refused: ReadonlySet<string>) {
    super('a graph elsewhere has asked something');
    this.name = 'GraphInterrupt';
    this.interrupts = interrupts;
    this.refused = refused;
  }
}

export function isRemoteGraph(worker: unknown): worker is RemoteGraph {
  const { lg_is_pregel, channels, getState } = (worker ?? {}) as Partial<CompiledGraph & RemoteGraph>;
  return lg_is_pregel === true && typeof channels !== 'object' && typeof getState === 'function';
}

/**
 * Runs a graph elsewhere by the rules of those here (see `runGraph`): what it has begun goes on from its checkpoint there,
 * and gets its input once; an answer is sent by the id of its question, and only while that question is open there.
 *
 * @throws AskedElsewhere
 */
export async function runRemote(run: RemoteRun): Promise<unknown> {
  const sent = new Set<string>();
  const start = run.isResumed ? await startOf(run, sent) : { input: await run.input() };
  if ('values' in start) return start.values;
  for (let { input } = start; ; ) {
    const end = await invoked(run, input);
    if (end !== OPEN) return end;
    const open = openOf(await stateOf(run));
    if (open.length === 0) throw new Error('a graph elsewhere was interrupted, and has no open question');
    input = await resumeCommand(answersOf(run, open, sent));
  }
}

async function invoked({ graph, options }: RemoteRun, input: unknown): Promise<unknown> {
  try {
    const end = await graph.invoke(input, options);
    const asked = (end as { readonly __interrupt__?: readonly unknown[] } | null | undefined)?.__interrupt__;
    return asked === undefined || asked.length === 0 ? end : OPEN;
  } catch (error) {
    if ((error as { readonly name?: unknown } | null)?.name === 'GraphInterrupt') return OPEN;
    throw error;
  }
}

async function startOf(
  run: RemoteRun,
  sent: Set<string>,
): Promise<{ readonly input: unknown } | { readonly values: unknown }> {
  const state = await stateOf(run);
  if (state?.createdAt === undefined) return { input: await run.input() };
  const open = openOf(state);
  if (open.length > 0) return { input: await resumeCommand(answersOf(run, open, sent)) };
  if (state.next.length > 0) return { input: null };
  return run.isOwnThread ? { values: state.values } : { input: await run.input() };
}

function answersOf(
  run: RemoteRun,
  open: readonly RemoteQuestion[],
  sent: Set<string>,
): Record<string, JsonValue> {
  const answers: Record<string, JsonValue> = {};
  for (const question of open) {
    const answer = run.answerTo(question);
    if (answer !== undefined && !sent.has(remoteId(question))) answers[question.id] = answer.value;
  }
  if (Object.keys(answers).length === 0) throw new AskedElsewhere(open, sent);
  for (const question of open) if (question.id in answers) sent.add(remoteId(question));
  return answers;
}

async function stateOf({ graph, options }: RemoteRun): Promise<RemoteState | undefined> {
  try {
    const { thread_id } = options.configurable;
    return await graph.getState({ configurable: { thread_id } });
  } catch (error) {
    // The thread is made with its first run.
    if ((error as { readonly status?: unknown } | null)?.status === NOT_FOUND) return undefined;
    throw error;
  }
}

function openOf(state: RemoteState | undefined): RemoteQuestion[] {
  return (state?.tasks ?? []).flatMap(({ interrupts }) => interrupts).map(questionOf);
}

function questionOf({ interrupt_id, id, value }: RemoteInterrupt): RemoteQuestion {
  return { id: interrupt_id ?? id ?? '', value: toPlainJson(value ?? null, 'interrupt') };
}

/** An older LangGraph gives all questions of a node one id: what is asked tells them apart. */
function remoteId({ id, value }: RemoteQuestion): string {
  const asked = createHash('sha256').update(JSON.stringify(value)).digest('hex');
  return `${id}.${asked.slice(0, ID_CHARS)}`;
}

export function remoteAnswer(question: RemoteQuestion, answers: readonly TaskAnswer[]) {
  return answerTo({ id: remoteId(question), value: question.value }, answers)?.answer;
}

/** What a task waits for; null where something else has stopped it. */
export function remoteQuestions(error: unknown, answers: readonly TaskAnswer[]): TaskInterrupt[] | null {
  if (!(error instanceof AskedElsewhere)) return null;
  return error.interrupts.map((question) => {
    const asked = { id: remoteId(question), value: question.value };
    if (!error.refused.has(asked.id)) return asked;
    return askedAgain(asked, answerTo(asked, answers)?.askings ?? 1, 'the answer was not taken');
  });
}
