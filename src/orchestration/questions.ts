import type { JsonValue } from '../json.ts';
import type { TaskAnswer, TaskInterrupt } from '../queue/task.ts';
import type { Checkpointer, GraphInterruption, GraphState, GraphTask, RunnableGraph } from './graph.ts';
import { isOwnQuestion } from './once-question.ts';
import { toPlainJson } from './plain-result.ts';

/*
 * One id names one question for ever. LangGraph 1.7.3 gives each `interrupt()` of a node its own id; versions
 * before gave all of one node execution the same. The number of answers that execution has consumed is
 * appended (`#1`, `#2`, …), read from the checkpoint and the same after a crash, so that an answer to one
 * question is never sent to the next. A question put again, since its schema refused the answer, is a new one: `~1`.
 */

/** A question as the queue knows it, and the id that LangGraph knows it by. */
export interface Question extends TaskInterrupt {
  readonly graphId: string;
}

/** The channel in which LangGraph records answers, by the id of the graph's task. */
const RESUME_CHANNEL = '__resume__';

/** The questions a run has just reported, each once, with its own id. */
export async function identified(
  graph: RunnableGraph,
  checkpointer: Checkpointer,
  threadId: string,
  reported: readonly GraphInterruption[],
): Promise<Question[]> {
  const state = await graph.getState({ configurable: { thread_id: threadId } }, { subgraphs: true });
  const ordinals = new Map<string, number>();
  await collectOrdinals(checkpointer, state, ordinals);
  const questions = new Map<string, Question>();
  for (const { id, value } of reported) {
    if (id === undefined || questions.has(id)) continue;
    const ordinal = isOwnQuestion(id) ? 0 : (ordinals.get(id) ?? 0);
    questions.set(id, {
      id: ordinal === 0 ? id : `${id}#${ordinal}`,
      graphId: id,
      value: toPlainJson(value, 'interrupt'),
    });
  }
  return [...questions.values()];
}

async function collectOrdinals(
  checkpointer: Checkpointer,
  state: GraphState,
  ordinals: Map<string, number>,
): Promise<void> {
  const asking = state.tasks.filter((task) => task.interrupts.length > 0);
  if (asking.length === 0) return;
  const writes = (await checkpointer.getTuple(state.config))?.pendingWrites ?? [];
  for (const task of asking) {
    const inner = subgraphState(task);
    if (inner !== undefined) await collectOrdinals(checkpointer, inner, ordinals);
    else
      for (const { id } of task.interrupts)
        if (id !== undefined) ordinals.set(id, answersConsumed(writes, task.id));
  }
}

function answersConsumed(writes: readonly (readonly [string, string, unknown])[], taskId: string): number {
  return writes
    .filter(([id, channel]) => id === taskId && channel === RESUME_CHANNEL)
    .reduce((count, [, , value]) => count + (Array.isArray(value) ? value.length : 1), 0);
}

/** The state of the subgraph that a task runs, where LangGraph knows it. */
export function subgraphState(task: GraphTask): GraphState | undefined {
  return task.state !== undefined && 'tasks' in task.state ? task.state : undefined;
}

/** The answer to the newest asking of a question, and how often it was asked with an answer. */
export function answerTo(
  question: TaskInterrupt,
  answers: readonly TaskAnswer[],
): { readonly answer: TaskAnswer; readonly askings: number } | undefined {
  let newest: TaskAnswer | undefined;
  for (let askings = 0; ; askings++) {
    const id = askingId(question.id, askings);
    const answer = answers.find((given) => given.id === id);
    if (answer === undefined) return newest === undefined ? undefined : { answer: newest, askings };
    newest = answer;
  }
}

/** The id of a question that has been answered `askings` times in vain. */
export function askingId(id: string, askings: number): string {
  return askings === 0 ? id : `${id}~${askings}`;
}

/** The question put again after its schema refused the answer; what was wrong stands beside what was asked. */
export function askedAgain(question: TaskInterrupt, askings: number, because: string): TaskInterrupt {
  return { id: askingId(question.id, askings), value: withReason(question.value, because) };
}

function withReason(value: JsonValue, refusedBecause: string): JsonValue {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isRecord ? { ...value, refusedBecause } : { question: value, refusedBecause };
}

/** LangGraph's mark on what an answer has failed with. */
export const INVALID_RESUME: unique symbol = Symbol.for('langgraph.invalid_resume') as never;
const CAUSES_MAX = 10;

/** Whether a run failed because an answer did not match its question's `responseSchema`. */
export function isRefusedAnswer(error: unknown): error is Error {
  let current: unknown = error;
  for (let depth = 0; depth < CAUSES_MAX && typeof current === 'object' && current !== null; depth++) {
    if ((current as Record<symbol, unknown>)[INVALID_RESUME] === true) return true;
    current = (current as { cause?: unknown }).cause;
  }
  return false;
}
