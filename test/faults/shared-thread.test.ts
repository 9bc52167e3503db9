import { describe, expect } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { onRedis } from './on-redis.ts';
import { moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const WORKERS = 4;
const TASKS = 10;
const NODES = ['a', 'b', 'c'];
const THREAD = 'talk';
const KILLS = scaled(2, 20);

describe.each(['sqlite', 'redis', 'hybrid'] as const)('R27 on %s: ten tasks on one thread', (backend) => {
  test('in four processes: all ten updates are there', TEST_TIMEOUT, async ({ stage }) => {
    const workers = await launchWorkers(stage, backend);
    await using conductor = await talk(stage);
    await expectAllSaid(conductor);
    expect(workers.every(({ running }) => running)).toBe(true);
    expectOneAtATime(stage);
  });

  test('while workers are killed: all ten updates are there', TEST_TIMEOUT, async ({ stage }) => {
    await launchWorkers(stage, backend);
    await using conductor = await talk(stage);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await moment(stage.random.between(20, 150));
      stage.random.pick(stage.children.filter(({ running }) => running)).kill('SIGKILL');
      await stage.launch('graph-worker', { concurrency: 5 });
    }
    await expectAllSaid(conductor);
  });
});

async function launchWorkers(stage: Stage, backend: 'sqlite' | 'redis' | 'hybrid') {
  if (backend !== 'sqlite') await onRedis(stage, backend);
  stage.queueOptions = { leaseMs: 1_000, sweepMs: 100, retry: { initialInterval: 10, maxInterval: 20 } };
  stage.queue();
  return Promise.all(Array.from({ length: WORKERS }, () => stage.launch('graph-worker', { concurrency: 5 })));
}

/** Ten goals on one thread, and as many on threads of their own beside them. */
async function talk(stage: Stage): Promise<Conductor> {
  const agents = { steps: { invoke: () => ({}) } };
  const conductor = new Conductor({ agents, queue: stage.queue() });
  const goals = Array.from({ length: TASKS }, (_, n) => ({ goal: `${n}`, agent: 'steps', input: { ms: 5 } }));
  await conductor.enqueueGoals([
    ...goals.map((goal, n) => ({ ...goal, id: `talk-${n}`, threadId: THREAD })),
    ...goals.map((goal, n) => ({ ...goal, id: `own-${n}` })),
  ]);
  return conductor;
}

async function expectAllSaid(conductor: Conductor): Promise<void> {
  const results = await Promise.all(
    Array.from({ length: TASKS }, (_, n) => conductor.result<{ path: string[] }>(`talk-${n}`)),
  );
  const longest = results.map(({ path }) => path).sort((one, other) => other.length - one.length);
  expect(longest[0]).toEqual(Array.from({ length: TASKS }, () => NODES).flat());
  // Each has added its own to what the one before had left.
  expect(longest.map((path) => path.length).reverse()).toEqual(results.map((_, n) => (n + 1) * NODES.length));
  for (let n = 0; n < TASKS; n += 1)
    expect((await conductor.result<{ path: string[] }>(`own-${n}`)).path).toEqual(NODES);
}

function expectOneAtATime(stage: Stage): void {
  const lines = stage.log({ id: THREAD }).map(({ node, phase }) => `${node} ${phase}`);
  const turn = NODES.flatMap((node) => [`${node} start`, `${node} end`]);
  expect(lines).toEqual(Array.from({ length: TASKS }, () => turn).flat());
}
