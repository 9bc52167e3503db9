import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';

/** Agents of two nodes each, with channels in common and of their own; `log` hears which node begins. */
type Log = (node: string) => unknown;

const Notes = { reducer: (a: string[], b: string[]) => [...a, ...b], default: (): string[] => [] };

const Research = Annotation.Root({ goal: Annotation<string>(), notes: Annotation<string[]>(Notes) });
const Writing = Annotation.Root({
  notes: Annotation<string[]>(Notes),
  draft: Annotation<string>(),
});
const Review = Annotation.Root({
  draft: Annotation<string>(),
  verdict: Annotation<string>(),
  notes: Annotation<string[]>(Notes),
});

export function research(log: Log, find: () => unknown = () => {}) {
  return new StateGraph(Research)
    .addNode('search', async ({ goal }) => {
      await log('search');
      await find();
      return { notes: [`found ${goal}`] };
    })
    .addNode('read', async () => {
      await log('read');
      return { notes: ['read it'] };
    })
    .addEdge(START, 'search')
    .addEdge('search', 'read')
    .addEdge('read', END)
    .compile();
}

export function writer(log: Log) {
  return new StateGraph(Writing)
    .addNode('outline', async () => {
      await log('outline');
      return { notes: ['outlined'] };
    })
    .addNode('write', async ({ notes }) => {
      await log('write');
      return { draft: `draft of ${notes.join(', ')}` };
    })
    .addEdge(START, 'outline')
    .addEdge('outline', 'write')
    .addEdge('write', END)
    .compile();
}

/** `judge` may hang, throw or ask. */
export function reviewer(log: Log, judge: (draft: string) => unknown = () => 'good') {
  return new StateGraph(Review)
    .addNode('look', async () => {
      await log('look');
      return { notes: ['looked'] };
    })
    .addNode('judge', async ({ draft }) => {
      await log('judge');
      return { verdict: String(await judge(draft)) };
    })
    .addEdge(START, 'look')
    .addEdge('look', 'judge')
    .addEdge('judge', END)
    .compile();
}

export const ask = (question: string) => () => interrupt(question) as string;
