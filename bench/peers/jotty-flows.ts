import { Conductor, TaskQueueManager, Workflow } from '../../dist/index.js';
import type { Task, TaskQueue } from '../../dist/queue/index.js';
import type { FlowNode } from '../flow-graphs.ts';
import { FLOW_CONCURRENCY, type FlowSide, type OpenFlows, type Release } from '../flow-side.ts';
import { completions, noOpAgent } from '../measures/manager.ts';
import { emptyPlace, openTaskQueue } from '../task-queues.ts';
import { RESULT } from '../work.ts';

/** One of Jotty's queues as it ships, through `dequeueMany` and `settle`. */
export function jottyFlows(side: string): FlowSide {
  return {
    hasGraphs: true,
    open: async (path) => {
      const queue = openTaskQueue(side, await emptyPlace(side, path));
      return {
        run: (nodes) => run(queue, nodes),
        release: (nodes) => release(queue, nodes),
        close: () => queue.close(),
      };
    },
  };
}

/** A `Workflow` through `Conductor` and `TaskQueueManager`, with an agent that does nothing. */
export function managedFlows(side: string): FlowSide {
  return {
    hasGraphs: true,
    open: async (path) => openManaged(openTaskQueue(side, await emptyPlace(side, path))),
  };
}

let submissions = 0;

async function run(queue: TaskQueue, nodes: readonly FlowNode[]): Promise<void> {
  await submit(queue, nodes);
  let tasks = await queue.dequeueMany(FLOW_CONCURRENCY);
  for (let left = nodes.length; left > 0; ) {
    if (tasks.length === 0) throw new Error(`expected ${left} more tasks to claim, got none`);
    const settled = Promise.all(tasks.map((task) => settle(queue, task)));
    left -= tasks.length;
    // Asked in the same turn, so that it may share a commit with what it follows on.
    tasks = left > 0 ? await queue.dequeueMany(FLOW_CONCURRENCY) : [];
    await settled;
    if (tasks.length === 0 && left > 0) tasks = await queue.dequeueMany(FLOW_CONCURRENCY);
  }
}

async function release(queue: TaskQueue, nodes: readonly FlowNode[]): Promise<Release> {
  await submit(queue, nodes);
  const root = await queue.dequeue();
  if (root === null) throw new Error('expected the first task to claim, got none');
  const from = performance.now();
  await settle(queue, root);
  const endedMs = performance.now() - from;
  const claimed = await queue.dequeueMany(nodes.length - 1);
  const claimedMs = performance.now() - from;
  if (claimed.length !== nodes.length - 1) throw new Error(`expected all dependents, got ${claimed.length}`);
  await Promise.all(claimed.map((task) => settle(queue, task)));
  return { endedMs, claimedMs };
}

function submit(queue: TaskQueue, nodes: readonly FlowNode[]): Promise<string[]> {
  const prefix = ++submissions;
  const idOf = (ref: string) => `${prefix}:${ref}`;
  return queue.enqueueMany(
    nodes.map(({ ref, dependsOn }) => ({
      id: idOf(ref),
      payload: { goal: ref },
      dependsOn: dependsOn.map(idOf),
    })),
  );
}

function settle(queue: TaskQueue, task: Task): Promise<Task> {
  return queue.settle(task, { status: 'completed', result: RESULT });
}

async function openManaged(queue: TaskQueue): Promise<OpenFlows> {
  const conductor = new Conductor({ agents: { worker: noOpAgent }, queue });
  const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: FLOW_CONCURRENCY });
  await manager.start();
  return {
    run: async (nodes) => {
      const done = completions(queue, nodes.length);
      await conductor.submit(workflowOf(nodes));
      await done;
    },
    close: async () => {
      await manager.stop();
      await conductor.close();
      await queue.close();
    },
  };
}

function workflowOf(nodes: readonly FlowNode[]): Workflow<string> {
  const workflow = new Workflow<string>('flow');
  for (const { ref, dependsOn } of nodes) workflow.add(ref, { goal: ref, dependsOn });
  return workflow;
}
