import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { SQLiteTaskQueue } from 'jotty/queue';

const State = Annotation.Root({ goal: Annotation<string>, answer: Annotation<string> });
const agent = (verb: string) =>
  new StateGraph(State)
    .addNode('work', ({ goal }) => ({ answer: `${verb}: ${goal}` }))
    .addEdge(START, 'work')
    .compile();

const queue = new SQLiteTaskQueue({ path: process.argv[2] ?? 'tasks.db' });
const conductor = new Conductor({ agents: { research: agent('found'), writer: agent('wrote') }, queue });

const survey = await conductor.enqueueGoal('Survey task queues', { priority: 8, agentType: 'research' });
const report = await conductor.enqueueGoal('Write it up', { agentType: 'writer', dependsOn: [survey] });

await conductor.processQueue({ untilEmpty: true });
for (const id of [survey, report]) console.log(await conductor.result(id));
