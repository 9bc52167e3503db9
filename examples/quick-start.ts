/** The first words: two agents, a durable queue, one task that waits for another. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue } from 'jotty/queue';

const State = Annotation.Root({ goal: Annotation<string>, answer: Annotation<string> });
const agent = (work: (goal: string) => string) =>
  new StateGraph(State)
    .addNode('work', ({ goal }) => ({ answer: work(goal) }))
    .addEdge(START, 'work')
    .addEdge('work', END)
    .compile();
const research = agent((goal) => `three sources on: ${goal}`);
const writer = agent((goal) => `${goal}: done, and it is on disk`);

const folder = mkdtempSync(join(tmpdir(), 'jotty-quick-start-'));
const queue = new SQLiteTaskQueue({ path: join(folder, 'tasks.db') });
const conductor = new Conductor({ agents: { research, writer }, queue });

const survey = await conductor.enqueueGoal('Survey task queues', { priority: 8, agentType: 'research' });
const report = await conductor.enqueueGoal('Write it up', { agentType: 'writer', dependsOn: [survey] });

await conductor.processQueue({ untilEmpty: true });
console.log(await conductor.result(survey));
console.log(await conductor.result(report));

await conductor.close();
await queue.close();
rmSync(folder, { recursive: true });
