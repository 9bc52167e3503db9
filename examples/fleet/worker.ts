/** One process of the fleet: `worker.ts <agent>` runs what this agent can, until it is told to stop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Conductor, TaskQueueManager } from 'jotty';
import { openQueue } from './queue.ts';

/** What each agent takes; `general` takes everything. */
const CAPABILITIES: Readonly<Record<string, readonly string[]>> = {
  reader: ['summary'],
  coder: ['code'],
  painter: ['image'],
  helper: ['general'],
};

const name = process.argv[2] ?? 'helper';
const State = Annotation.Root({ goal: Annotation<string>, result: Annotation<string> });
const step = (ms: number) => () => sleep(ms, {});

const graph = new StateGraph(State)
  .addNode('think', step(15))
  .addNode('work', step(30))
  .addNode('write', ({ goal }) => ({ result: `${goal}, by ${name}` }))
  .addEdge(START, 'think')
  .addEdge('think', 'work')
  .addEdge('work', 'write')
  .addEdge('write', END)
  .compile();

const queue = openQueue(process.env);
const conductor = new Conductor({
  queue,
  agents: { [name]: { graph, capabilities: CAPABILITIES[name] ?? [], maxConcurrent: 4 } },
});
const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 4 });
manager.on('error', (error) => console.error(`${name}: ${error.message}`));
manager.on('started', ({ task }) => process.send?.({ started: task.id }));
manager.on('settled', (task) => process.send?.({ ended: task.id }));
manager.start();

process.once('SIGTERM', async () => {
  await manager.stop();
  await conductor.close();
  await queue.close();
  process.disconnect();
});
