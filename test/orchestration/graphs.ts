import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import type { TaskQueue } from '../../src/index.ts';

/** Small real graphs that tests run; `log` records which nodes ran. */
export const State = Annotation.Root({
  goal: Annotation<string>(),
  notes: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  answer: Annotation<string>(),
});

type Node = (state: typeof State.State, config: { configurable?: Record<string, unknown> }) => unknown;

/** first → second → third; each can be replaced. */
export function threeSteps(log: string[], nodes: Partial<Record<'first' | 'second' | 'third', Node>> = {}) {
  const step = (name: 'first' | 'second' | 'third') => async (state: typeof State.State, config: object) => {
    log.push(name);
    return ((await nodes[name]?.(state, config)) ?? { notes: [name] }) as Partial<typeof State.State>;
  };
  return new StateGraph(State)
    .addNode('first', step('first'))
    .addNode('second', step('second'))
    .addNode('third', step('third'))
    .addEdge(START, 'first')
    .addEdge('first', 'second')
    .addEdge('second', 'third')
    .addEdge('third', END);
}

/** One node that asks two questions, one after the other. */
export function twoQuestions(log: string[] = []) {
  return new StateGraph(State)
    .addNode('ask', () => {
      log.push('ask');
      const name = interrupt('name?') as string;
      const colour = interrupt('colour?') as string;
      return { answer: `${name} likes ${colour}` };
    })
    .addEdge(START, 'ask')
    .addEdge('ask', END)
    .compile();
}

/** A promise and its ends. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A first graph loads LangChain, which takes a busy machine seconds; turns of the loop say nothing of that. */
const UNTIL_MS_MAX = 20_000;

/** The event loop turns until `holds`; for states that no event announces. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + UNTIL_MS_MAX;
  while (performance.now() < end) {
    if (await holds()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error('it did not come true');
}

/** The first claim of the next task goes back as if its worker had been stopped: what runs after it is not the first. */
export async function claimAndRelease(queue: TaskQueue): Promise<void> {
  const task = await queue.dequeue({}, { start: true });
  await queue.settle(task!, { status: 'released' });
}
