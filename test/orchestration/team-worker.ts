import { Conductor } from '../../src/index.ts';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { research, reviewer, writer } from './team-agents.ts';

/** Works on a goal of three agents, tells of each node, and never comes back from the last. */
const [path, mode] = process.argv.slice(2);
const log = (node: string) => console.log(node);
const agents = {
  research: research(log),
  writer: writer(log),
  reviewer: reviewer(log, () => new Promise(() => setInterval(() => {}, 1_000))),
};
const queue = new SQLiteTaskQueue({ path: path! });
const conductor =
  mode === 'static'
    ? new Conductor({ agents, queue, mode: 'static', plan: ['research', 'writer', 'reviewer'] })
    : new Conductor({
        agents,
        queue,
        mode: 'dynamic',
        router: ({ path: taken }) => (['research', 'writer', 'reviewer'] as const)[taken.length] ?? '__end__',
      });
await conductor.enqueueGoal('go', { id: 'team' });
await conductor.processQueue({ untilEmpty: true });
