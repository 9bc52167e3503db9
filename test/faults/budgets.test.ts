import { expect } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { onRedis } from './on-redis.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { Backend } from './workers/open-queue.ts';

/** Calls with a bound run side by side, those without one at a time. */
const CASES: readonly (readonly [Backend, isBound: boolean])[] = scaled(
  [
    ['sqlite', false],
    ['redis', true],
    ['hybrid', false],
  ],
  (['sqlite', 'redis', 'hybrid'] as const).flatMap((backend) => [
    [backend, false] as const,
    [backend, true] as const,
  ]),
);
const KILLS = scaled(2, 20);
const TASKS = scaled(10, 60);
const BUDGET = scaled(900, 6_000);
const LARGEST = 60;
const KEY = { key: 'both' } as const;

for (const [backend, isBound] of CASES) {
  const kind = isBound ? 'calls with a bound' : 'calls without a bound';
  test(
    `processes that share the budget of a key stay within it, killed or not: ${kind} on ${backend}`,
    TEST_TIMEOUT,
    async ({ stage }) => {
      stage.queueOptions = { leaseMs: 1_000, sweepMs: 50, retry: { initialInterval: 10, maxInterval: 20 } };
      if (backend === 'redis' || backend === 'hybrid') await onRedis(stage, backend);
      await spendUnderKills(stage, isBound);
      await judge(stage);
    },
  );
}

async function spendUnderKills(stage: Stage, isBound: boolean): Promise<void> {
  const queue = stage.queue();
  const conductor = new Conductor({ agents: {}, queue });
  const budget = { ...KEY, tokens: BUDGET };
  await conductor.enqueueGoals(
    Array.from({ length: TASKS }, () => ({ goal: 'go', agent: 'agent', budget, maxCrashes: 100 })),
  );
  const start = async () => {
    const worker = await stage.launch('budget-worker', { more: { isBound }, concurrency: 3 });
    worker.send({ type: 'start' });
    return worker;
  };
  const workers = [await start(), await start()];
  for (let kill = 1; kill <= KILLS; kill++) {
    const calls = (kill * BUDGET) / (KILLS + 1) / (LARGEST / 2);
    await eventually(
      async () => stage.log({ phase: 'start' }).length >= calls || (await isSettled(stage, conductor)),
      30_000,
      () => `only ${stage.log().length} lines`,
    );
    workers.shift()!.kill('SIGKILL');
    workers.push(await start());
  }
  await eventually(
    () => isSettled(stage, conductor),
    40_000,
    () => 'it is not settled',
  );
}

/** Everybody has ended or waits. */
async function isSettled(stage: Stage, conductor: Conductor): Promise<boolean> {
  const { counts } = await stage.queue().stats();
  const { completed, waiting, failed } = counts;
  return completed + waiting + failed === TASKS && (await conductor.budget(KEY).status())?.isSpent === true;
}

async function judge(stage: Stage): Promise<void> {
  const conductor = new Conductor({ agents: {}, queue: stage.queue() });
  const sum = (phase: 'start' | 'end') => stage.log({ phase }).reduce((all, { id }) => all + Number(id), 0);
  const [made, ended] = [stage.log({ phase: 'start' }).length, stage.log({ phase: 'end' }).length];
  const status = (await conductor.budget(KEY).status())!;
  expect(status.isSpent).toBe(true);
  // By one call at most; what was under way when its process was killed is told by nobody, and counted as the largest before.
  expect(sum('end')).toBeLessThanOrEqual(BUDGET + LARGEST);
  expect(sum('start')).toBeLessThanOrEqual(BUDGET + LARGEST * (1 + KILLS));
  expect(status.spent.modelCalls).toBeGreaterThanOrEqual(made);
  const usage = await conductor.usage(KEY);
  // A call that had ended may not have been recorded yet when its process was killed: three tasks of four nodes each.
  expect(usage.modelCalls).toBeLessThanOrEqual(made);
  expect(usage.modelCalls).toBeGreaterThanOrEqual(ended - KILLS * 12);
  expect((await conductor.usage({ agent: 'agent' })).modelCalls).toBeGreaterThanOrEqual(
    usage.modelCalls - KILLS,
  );
  // Who waits goes on after one raise.
  await conductor.budget(KEY).raise({ tokens: 1_000_000 });
  const queue = stage.queue();
  await eventually(
    async () => (await queue.stats()).counts.completed === TASKS,
    40_000,
    () => 'not all of them end',
  );
  expect((await conductor.budget(KEY).status())!.callsOpen).toBeLessThanOrEqual(KILLS * 12);
}
