/** A node fails twice. Each retry goes on from the last checkpoint: the finished node does not run again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue } from 'jotty/queue';

const State = Annotation.Root({
  goal: Annotation<string>,
  pages: Annotation<number>,
  summary: Annotation<string>,
});

let calls = 0;
const reader = new StateGraph(State)
  .addNode('download', () => {
    console.log('download: slow and expensive, 40 pages');
    return { pages: 40 };
  })
  .addNode('summarise', ({ pages }) => {
    calls += 1;
    if (calls < 3) {
      console.log(`summarise: call ${calls} fails`);
      throw new Error('429 too many requests');
    }
    console.log(`summarise: call ${calls} succeeds`);
    return { summary: `${pages} pages in one sentence` };
  })
  .addEdge(START, 'download')
  .addEdge('download', 'summarise')
  .addEdge('summarise', END)
  .compile();

const folder = mkdtempSync(join(tmpdir(), 'jotty-retry-'));
const queue = new SQLiteTaskQueue({
  path: join(folder, 'tasks.db'),
  retry: { initialInterval: 20, backoffFactor: 2 },
});
const conductor = new Conductor({ agents: { reader }, queue });

const id = await conductor.enqueueGoal('Summarise the report', { agentType: 'reader', maxRetries: 3 });
await conductor.processQueue({ untilEmpty: true });

console.log(await conductor.result(id));
const history = await queue.history(id);
console.log(history.map(({ to }) => to).join(' → '));

await conductor.close();
await queue.close();
rmSync(folder, { recursive: true });
