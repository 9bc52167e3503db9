import { expect } from 'vitest';
import { Conductor, Workflow } from '../../src/index.ts';
import { isEnded } from '../../src/queue/task.ts';
import { expectQuiet } from './audit.ts';
import { onRedis } from './on-redis.ts';
import { eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const WORKERS = 2;
const WIDE = scaled(8, 40);
const LAYERS = scaled(5, 10);
const KILLS = scaled(4, 40);
const KILL_EVERY_MS = 400;
const DRAINED_WITHIN_MS = scaled(30_000, 300_000);

/** Three nodes each; the result is a path of three. Killed tasks come back soon, and as often as it takes. */
const STEPS = {
  goal: 'walk',
  agent: 'steps',
  input: { ms: 60 },
  maxCrashes: 1_000,
  retry: { initialInterval: 20, maxInterval: 100 },
} as const;
const WALKED = { 'result.path.length': { eq: 3 } };
const LOST = { 'result.path.length': { ne: 3 } };

function layered(): Workflow<string> {
  const workflow = new Workflow<string>('layered').add('join0', STEPS);
  for (let layer = 1; layer <= LAYERS; layer++) {
    const [before, join] = [`join${layer - 1}`, `join${layer}`];
    const wide = Array.from({ length: WIDE }, (_, i) => `t${layer}.${i}`);
    for (const ref of wide) workflow.add(ref, { ...STEPS, dependsOn: [{ ref: before, where: WALKED }] });
    workflow.add(`never${layer}`, { ...STEPS, dependsOn: [{ ref: before, where: LOST }] });
    const merged = [...wide, { ref: `never${layer}`, on: 'completion' as const }];
    workflow.add(join, { ...STEPS, dependsOn: merged });
  }
  return workflow;
}

test.for(['sqlite', 'redis'] as const)(
  'a workflow on %s is walked once, in its order, whoever is killed on the way',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    if (backend === 'redis') await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: 600, sweepMs: 100 };
    const queue = stage.queue();
    const conductor = new Conductor({ agents: {}, queue });
    stage.atEnd(() => conductor.close());
    const workers = await Promise.all(Array.from({ length: WORKERS }, () => stage.launch('graph-worker')));
    const run = await conductor.submit(layered(), { id: 'w' });
    for (let kill = 0; kill < KILLS; kill++) {
      await moment(KILL_EVERY_MS);
      const victim = stage.random.below(WORKERS);
      workers[victim]!.kill('SIGKILL');
      workers[victim] = stage.spawn('graph-worker');
    }
    await eventually(
      async () => (await run.status()).status === 'completed',
      DRAINED_WITHIN_MS,
      () => 'the workflow did not end',
    );

    const { tasks } = await run.status();
    const log = stage.log();
    const first = (id: string) => log.findIndex((line) => line.id === id && line.phase === 'start');
    const last = (id: string) => log.findLastIndex((line) => line.id === id && line.phase === 'end');
    for (const { ref, dependsOn } of layered().tasks()) {
      const { id, status } = tasks[ref]!;
      expect(status, ref).toBe(ref.startsWith('never') ? 'skipped' : 'completed');
      const ends = (await queue.history(id)).filter(({ to }) => isEnded(to));
      expect(ends, ref).toHaveLength(1);
      if (status === 'skipped') expect(first(id), ref).toBe(-1);
      else for (const edge of dependsOn) expect(first(id), ref).toBeGreaterThan(last(`w:${edge.ref}`));
    }
    const results = Object.values(await run.results());
    expect(results).toHaveLength(1 + LAYERS * (WIDE + 1));
    for (const result of results) expect(result).toMatchObject({ path: ['a', 'b', 'c'] });
    for (const worker of workers) {
      await worker.until('ready');
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
    }
    expectQuiet(stage);
  },
);
