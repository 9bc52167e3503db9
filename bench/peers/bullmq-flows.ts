import { type FlowJob, FlowProducer, Worker } from 'bullmq';
import type { FlowNode } from '../flow-graphs.ts';
import { FLOW_CONCURRENCY, type FlowSide, type OpenFlows } from '../flow-side.ts';
import { emptyRedis } from '../private-redis.ts';
import { RESULT } from '../work.ts';

/** BullMQ's flows as they come: trees, since a job there waits for its children, and a child has one parent. */
export const bullmqFlows: FlowSide = { open: async () => openFlows((await emptyRedis()).url) };

const NAME = 'flows';

async function openFlows(url: string): Promise<OpenFlows> {
  const connection = { url, maxRetriesPerRequest: null };
  const flows = new FlowProducer({ connection });
  const worker = new Worker(NAME, async () => RESULT, {
    connection,
    autorun: false,
    concurrency: FLOW_CONCURRENCY,
  });
  await Promise.all([flows.waitUntilReady(), worker.waitUntilReady()]);
  void worker.run();
  return {
    run: async (nodes) => {
      const done = completions(worker, nodes.length);
      await flows.addBulk(forest(nodes));
      await done;
    },
    close: async () => {
      await worker.close(true);
      await flows.close();
    },
  };
}

function completions(worker: Worker, tasks: number): Promise<void> {
  let left = tasks;
  worker.removeAllListeners('completed');
  return new Promise((resolve, reject) => {
    worker.once('failed', (_job, error) => reject(error));
    worker.on('completed', () => {
      left -= 1;
      if (left === 0) resolve();
    });
  });
}

/** The nodes that nobody waits for, with what they wait for below them. */
function forest(nodes: readonly FlowNode[]): FlowJob[] {
  const jobs = new Map<string, FlowJob>();
  const taken = new Set<string>();
  for (const { ref, dependsOn } of nodes) {
    const children = dependsOn.map((child) => {
      const job = jobs.get(child);
      if (job === undefined || taken.has(child))
        throw new Error(`expected a tree, got two that wait for ${child}`);
      taken.add(child);
      return job;
    });
    jobs.set(ref, {
      name: ref,
      queueName: NAME,
      data: { goal: ref },
      ...(children.length > 0 && { children }),
    });
  }
  return [...jobs].filter(([ref]) => !taken.has(ref)).map(([, job]) => job);
}
