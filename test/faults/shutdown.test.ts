import { expect } from 'vitest';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { audit, expectQuiet, lineage } from './audit.ts';
import { type Child, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const ROUNDS = scaled(6, 500);
/** Rounds that go on at the same time, one for each core. */
const LANES = 2;
const DRAIN_MS = 300;
/** For the handing back and the closing, on two busy cores. */
const ALLOWANCE_MS = 1_500;
/** Nodes shorter than the drain are stopped at the next step, longer ones in the middle. */
const NODE_MS = [30, 150, 2_000];

test(
  'R16: SIGTERM at any moment ends the process in time, and its tasks are back at once, uncharged',
  TEST_TIMEOUT,
  async ({ stage }) => {
    await Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(stage, lane)));
    expectQuiet(stage);
  },
);

async function runLane(stage: Stage, lane: number): Promise<void> {
  for (let round = lane; round < ROUNDS; round += LANES) {
    await interruptOnce(stage, `${stage.folder}/round-${round}.db`);
  }
}

async function interruptOnce(stage: Stage, path: string): Promise<void> {
  const worker = await stage.launch('graph-worker', { path, concurrency: 3, more: { drainMs: DRAIN_MS } });
  const ids = ['t1', 't2', 't3', 't4'];
  worker.send({ type: 'submit-many', ids, agent: 'steps', payload: { ms: stage.random.pick(NODE_MS) } });
  await worker.until('submitted-many');
  await moment(stage.random.below(400));
  const asked = performance.now();
  worker.kill('SIGTERM');
  expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
  expect(performance.now() - asked).toBeLessThanOrEqual(DRAIN_MS + ALLOWANCE_MS);
  await expectHandedBack(path, worker);
}

async function expectHandedBack(path: string, worker: Child): Promise<void> {
  const { tasks } = await audit(path);
  expect(tasks.size).toBe(4);
  for (const task of tasks.values()) {
    expect(['pending', 'completed'], task.id).toContain(task.status);
    expect(task, task.id).toMatchObject({ retryCount: 0, crashes: 0 });
    expect(task.lease, task.id).toBeUndefined();
  }
  const open = [...tasks.values()].filter((task) => task.status === 'pending').map((task) => task.id);
  const queue = new SQLiteTaskQueue({ path });
  try {
    const again = await queue.dequeueMany(10);
    expect(again.map((task) => task.id).sort(), `claimable at once after ${worker.name}`).toEqual(
      open.sort(),
    );
    for (const id of tasks.keys()) await lineage(queue, id);
  } finally {
    await queue.close();
  }
}
