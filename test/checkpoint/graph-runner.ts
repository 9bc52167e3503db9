/** Child process: runs a graph on many threads of a shared file. */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { SQLiteSaver } from '../../src/checkpoint/sqlite-saver.ts';

const [path = '', count = '1'] = process.argv.slice(2);
const checkpointer = new SQLiteSaver({ path });
const graph = new StateGraph(Annotation.Root({ value: Annotation<unknown>, steps: Annotation<number> }))
  .addNode('one', () => ({ steps: 1 }))
  .addNode('two', () => ({ value: 'there' }))
  .addEdge(START, 'one')
  .addEdge('one', 'two')
  .addEdge('two', END)
  .compile({ checkpointer });
process.stdout.write('started\n');
await Promise.all(
  Array.from({ length: Number(count) }, (_, i) =>
    graph.invoke({ steps: 0 }, { configurable: { thread_id: `there-${i}` }, durability: 'sync' }),
  ),
);
await checkpointer.close();
