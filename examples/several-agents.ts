/** Three agents share a queue: the type of a task finds the agent, the priority the order, dependsOn the rest. */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Conductor } from 'jotty';
import { MemoryTaskQueue } from 'jotty/queue';

const State = Annotation.Root({ goal: Annotation<string>, done: Annotation<string> });
const agent = (name: string) =>
  new StateGraph(State)
    .addNode('work', ({ goal }) => {
      console.log(`${name.padEnd(8)} ${goal}`);
      return { done: `${goal} (${name})` };
    })
    .addEdge(START, 'work')
    .addEdge('work', END)
    .compile();

const queue = new MemoryTaskQueue();
const conductor = new Conductor({
  queue,
  agents: {
    coder: { graph: agent('coder'), capabilities: ['typescript', 'sql'] },
    reviewer: { graph: agent('reviewer'), capabilities: ['review'] },
    helper: { graph: agent('helper'), capabilities: ['general'] },
  },
});

const [, schema, api, review] = await conductor.enqueueGoals([
  { goal: 'tidy the changelog', id: 'changelog', priority: 'low', agentType: 'prose' },
  { goal: 'write the schema', id: 'schema', priority: 'high', agentType: 'sql' },
  { goal: 'write the api', id: 'api', priority: 'high', agentType: 'typescript', dependsOn: ['schema'] },
  { goal: 'review both', id: 'review', agentType: 'review', dependsOn: ['schema', 'api'] },
  // Whatever becomes of the review, the logs are collected.
  { goal: 'collect the logs', agent: 'helper', priority: 1, dependsOn: [{ id: 'review', on: 'completion' }] },
]);

await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });

for (const id of [schema, api, review]) {
  const task = await queue.getTask(id as string);
  console.log(`${task?.id}: best first, ${task?.scores?.map(({ agent: name }) => name).join(' before ')}`);
}
await conductor.close();
await queue.close();
