/**
 * Four worker processes with different agents share a queue in Redis. One of them is killed on the way, and
 * nothing is lost: `npx tsx examples/fleet/main.ts`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Conductor } from 'jotty';
import { startRedis } from './private-redis.ts';
import { openQueue } from './queue.ts';

const AGENTS = ['reader', 'coder', 'painter', 'helper'] as const;
const TYPES = ['summary', 'code', 'image', 'letter'] as const;
const GOALS = 240;
const VICTIM = 'coder';

const redis = await startRedis();
const queue = openQueue({ REDIS_URL: redis.url });
const conductor = new Conductor({ agents: {}, queue });

/** Tasks by the worker that runs them, as the workers tell. */
const held = new Map<string, Set<string>>(AGENTS.map((agent) => [agent, new Set()]));
const workers = new Map<string, ChildProcess>();
let ended = 0;
let isThirdDone: () => void;
const third = new Promise<void>((resolve) => {
  isThirdDone = resolve;
});
function countEnded(): void {
  ended += 1;
  if (ended >= GOALS / 3 && held.get(VICTIM)!.size > 0) isThirdDone();
}

for (const agent of AGENTS) {
  const worker = fork(join(import.meta.dirname, 'worker.ts'), [agent], {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, REDIS_URL: redis.url },
  });
  worker.on('message', ({ started, ended }: { started?: string; ended?: string }) => {
    if (started !== undefined) held.get(agent)?.add(started);
    if (ended !== undefined) held.get(agent)?.delete(ended);
    if (ended !== undefined) countEnded();
  });
  workers.set(agent, worker);
  await once(worker, 'spawn');
}

const ids = await conductor.enqueueGoals(
  Array.from({ length: GOALS }, (_, i) => {
    const agentType = TYPES[i % TYPES.length]!;
    return { goal: `${agentType} ${i}`, agentType, priority: 1 + (i % 10) };
  }),
);
console.log(`${GOALS} goals are in the queue; ${AGENTS.length} workers have been started`);

const progress = setInterval(async () => {
  const { counts } = await queue.stats();
  console.log(`${counts.completed} of ${GOALS} completed, ${counts.in_progress} running`);
}, 1_000);

await third;
const fleet = await conductor.workers();
console.log(`the fleet: ${fleet.flatMap(({ agents }) => agents.map(({ name }) => name)).join(', ')}`);
const orphans = [...held.get(VICTIM)!];
workers.get(VICTIM)!.kill('SIGKILL');
console.log(`killed ${VICTIM} with -9, and ${orphans.length} tasks in its hands`);

await Promise.all(ids.map((id) => conductor.result(id)));
clearInterval(progress);

const shares = new Map<string, number>();
let endings = 0;
let again = 0;
for (const id of ids) {
  const task = await queue.getTask(id);
  const by = task?.assignedAgent ?? 'nobody';
  shares.set(by, (shares.get(by) ?? 0) + 1);
  endings += (await queue.history(id)).filter(({ to }) => to === 'completed').length;
  if ((task?.crashes ?? 0) > 0) again += 1;
}
console.log(`shared: ${[...shares].map(([agent, count]) => `${agent} ${count}`).join(', ')}`);
console.log(
  `${again} tasks of the killed worker were taken over; ${endings} endings recorded for ${GOALS} goals`,
);

for (const worker of workers.values()) {
  if (worker.exitCode !== null || worker.signalCode !== null) continue;
  worker.kill('SIGTERM');
  await once(worker, 'exit');
}
await conductor.close();
await queue.close();
await redis.stop();
