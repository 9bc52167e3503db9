import { Conductor } from '../../src/index.ts';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { deepAgent } from './deep-agent.ts';

/** Runs a deep agent, tells what it does, and never comes back from the tool of its sub-agent. */
const deep = deepAgent(
  (what) => console.log(what),
  () => new Promise(() => setInterval(() => {}, 1_000)),
);
const queue = new SQLiteTaskQueue({ path: process.argv[2]! });
const conductor = new Conductor({ agents: { deep }, queue });
await conductor.enqueueGoal('What is the answer?', { id: 'deep' });
await conductor.processQueue({ untilEmpty: true });
