import { type FlowJob, PgBoss } from 'pg-boss';
import type { FlowNode } from '../flow-graphs.ts';
import { FLOW_CONCURRENCY, type FlowSide, type OpenFlows } from '../flow-side.ts';
import { PrivatePostgres } from '../private-postgres.ts';
import { RESULT } from '../work.ts';

/**
 * pg-boss's `flow()`, driven by hand through `fetch`, `complete` and `resolveFlow`, which favours it: its workers
 * look for jobs every 0.5 s at the most often, and its own pass over the flows runs once a second at the most often.
 */
export const pgBossFlows: FlowSide = { hasGraphs: true, open: openFlows };

const NAME = 'flows';

async function openFlows(): Promise<OpenFlows> {
  const postgres = await PrivatePostgres.start();
  const boss = new PgBoss({ connectionString: postgres.url, supervise: false, schedule: false });
  boss.on('error', (error) => process.stderr.write(`${error}\n`));
  await boss.start();
  await boss.createQueue(NAME);
  return {
    run: async (nodes) => {
      await boss.flow(nodes.map(flowJob));
      await drain(boss, nodes.length);
    },
    release: async (nodes) => {
      await boss.flow(nodes.map(flowJob));
      const [root] = await boss.fetch(NAME);
      const from = performance.now();
      await complete(boss, [root]);
      const endedMs = performance.now() - from;
      await boss.fetch(NAME, { batchSize: nodes.length - 1 });
      return { endedMs, claimedMs: performance.now() - from };
    },
    close: async () => {
      await boss.stop({ graceful: false });
      await postgres.stop();
    },
  };
}

async function drain(boss: PgBoss, tasks: number): Promise<void> {
  for (let left = tasks; left > 0; ) {
    const jobs = await boss.fetch(NAME, { batchSize: FLOW_CONCURRENCY });
    if (jobs.length === 0) throw new Error(`expected ${left} more jobs to fetch, got none`);
    await complete(boss, jobs);
    left -= jobs.length;
  }
}

/** Together with what it releases. */
async function complete(boss: PgBoss, jobs: readonly ({ readonly id: string } | undefined)[]): Promise<void> {
  const ids = jobs.map((job) => job?.id ?? '');
  await boss.complete(NAME, ids, RESULT);
  await boss.resolveFlow();
}

function flowJob({ ref, dependsOn }: FlowNode): FlowJob {
  return { ref, name: NAME, data: { goal: ref }, dependsOn: [...dependsOn] };
}
