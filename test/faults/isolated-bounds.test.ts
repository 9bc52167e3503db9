import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type * as Jotty from '../../src/index.ts';
import { compiledJotty, compiledWorker } from './compiled.ts';
import { eventually } from './processes.ts';
import { TEST_TIMEOUT } from './scale.ts';

/** Compiled, as an app has it: through a loader each thread and process would take seconds to start. */
const MODULE = compiledWorker('isolated-graphs');
const { Conductor, SQLiteTaskQueue } = await compiledJotty();

let folder: string;
let file: string;
const endings: (() => unknown)[] = [];
beforeEach(() => {
  // LangChain tells of a handler that throws on the console.
  vi.spyOn(console, 'error').mockImplementation(() => {});
  folder = mkdtempSync(join(tmpdir(), 'jotty-isolated-bounds-'));
  file = join(folder, 'log');
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of endings.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true });
});

const told = () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);

function conduct(where: 'thread' | 'process', names: readonly string[], options: object = {}) {
  const path = join(folder, 'tasks.db');
  const queue = new SQLiteTaskQueue({ path, retry: { initialInterval: 10 } });
  const isolation = { in: where, graceMs: 300 };
  const agents = Object.fromEntries(names.map((name) => [name, { module: MODULE, export: name, isolation }]));
  const prices = { fake: { inputPerMillion: 100_000, outputPerMillion: 100_000 } };
  const conductor = new Conductor({ agents, queue, prices, ...options });
  endings.push(async () => {
    await conductor.close();
    await queue.close();
  });
  const enqueue = (agent: string, ms: number, more: object = {}) =>
    conductor.enqueueGoal('go', { agent, input: { file, ms }, ...more });
  return { queue, conductor, enqueue, run: () => conductor.processQueue({ untilEmpty: true }) };
}

async function eventsOf(conductor: Jotty.Conductor, id: string): Promise<Jotty.TaskLifeEvent[]> {
  const seen: Jotty.TaskLifeEvent[] = [];
  for await (const event of conductor.events(id)) seen.push(event);
  return seen;
}

describe.each(['thread', 'process'] as const)('an agent in a %s', (where) => {
  test(
    'spends what is counted here, within the budget, and goes on when that is raised',
    async () => {
      const { conductor, queue, enqueue, run } = conduct(where, ['spends']);
      const id = await enqueue('spends', 5, { budget: { modelCalls: 3 } });
      expect(await run()).toMatchObject({ waiting: 1, failed: 0 });
      expect(told()).toHaveLength(3);
      expect(await queue.getTask(id)).toMatchObject({ status: 'waiting', retryCount: 0, crashes: 0 });
      const [entry] = (await conductor.inbox()).entries;
      expect(entry).toMatchObject({ kind: 'budget', taskId: id, value: { reached: 'modelCalls' } });
      expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 3, tokens: 30, cost: 3 });

      await conductor.budget(id).raise({ modelCalls: 5 });
      expect(await run()).toMatchObject({ completed: 1 });
      // The node begins anew, and the one before it does not.
      expect(told()).toHaveLength(8);
      expect((await conductor.result<{ path: string[] }>(id)).path).toHaveLength(3);
      const usage = { modelCalls: 8, inputTokens: 72, outputTokens: 8, tokens: 80, unknownCalls: 0 };
      expect(await conductor.usage({ taskId: id })).toMatchObject({ ...usage, models: { fake: usage } });
      expect(await conductor.usage({ agent: 'spends' })).toMatchObject(usage);
      expect(await conductor.budget(id).status()).toMatchObject({ callsOpen: 0, spent: { tokens: 80 } });
      const events = await eventsOf(conductor, id);
      const calls = events.filter(({ type }) => type === 'usage');
      expect(calls).toHaveLength(8);
      expect(calls[0]).toMatchObject({ usage: { model: 'fake', agent: 'spends', tokens: 10 } });
      expect(events.map(({ number }) => number)).toEqual(events.map((_, i) => i + 1));
      expect(events.filter(({ type }) => type === 'interrupt')).toHaveLength(1);
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'exceeds a budget of tokens by one call at most, with calls side by side',
    async () => {
      const { conductor, enqueue, run } = conduct(where, ['spendsTogether']);
      const id = await enqueue('spendsTogether', 9, { budget: { tokens: 35 } });
      expect(await run()).toMatchObject({ waiting: 1, failed: 0 });
      expect(told()).toHaveLength(4);
      expect(await conductor.budget(id).status()).toMatchObject({ spent: { tokens: 40 }, isSpent: true });
      await conductor.budget(id).stop();
      expect(await run()).toMatchObject({ failed: 1 });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'shares its budget with its children',
    async () => {
      const { conductor, enqueue, run } = conduct(where, ['spender', 'spends']);
      const id = await enqueue('spender', 0, { budget: { modelCalls: 3 } });
      expect(await run()).toMatchObject({ completed: 1, waiting: 1 });
      expect(told()).toHaveLength(2);
      expect((await conductor.inbox()).entries).toMatchObject([{ taskId: 'child', value: { taskId: id } }]);
      expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 3, own: { modelCalls: 1 } });
      await conductor.budget(id).raise({ modelCalls: 5 });
      expect(await run()).toMatchObject({ completed: 1 });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'stops between two steps where those are spent',
    async () => {
      const { conductor, queue, enqueue, run } = conduct(where, ['plain']);
      const id = await enqueue('plain', 0, { budget: { steps: 2 } });
      expect(await run()).toMatchObject({ waiting: 1 });
      const saved = await (await conductor.checkpointer).getTuple({ configurable: { thread_id: id } });
      expect(saved?.checkpoint.channel_values.path).toHaveLength(2);
      await conductor.budget(id).raise({ steps: 9 });
      expect(await run()).toMatchObject({ completed: 1 });
      expect((await queue.getTask(id))?.result).toMatchObject({ answer: 'true' });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'shows its life in the events, and its checkpoints are travelled in where its graph is',
    async () => {
      const { conductor, queue, enqueue, run } = conduct(where, ['asks', 'shows', 'call']);
      const id = await enqueue('asks', 0);
      const shown = await enqueue('shows', 0);
      await run();
      const [question] = (await queue.getTask(id))!.interrupts!;
      await conductor.answer(id, question!.id, 'this');
      await run();
      const events = await eventsOf(conductor, id);
      expect(events).toContainEqual(
        expect.objectContaining({ type: 'interrupt', id: question!.id, value: 'which?' }),
      );
      const ends = events.filter((event) => event.type === 'node' && event.phase === 'ended');
      expect(ends.filter((event) => 'node' in event && event.node === 'c')).toHaveLength(1);
      expect(await eventsOf(conductor, shown)).toContainEqual(
        expect.objectContaining({ type: 'custom', data: { shown: 1 }, namespace: [] }),
      );

      const checkpoints = await conductor.checkpoints(id);
      expect(checkpoints.map(({ next }) => next)).toEqual([[], ['c'], ['b'], ['a'], ['__start__']]);
      expect(checkpoints[1]).toMatchObject({ agent: 'asks', step: 2, values: { goal: 'this' } });
      const from = checkpoints[1]!.id;
      const again = await conductor.rerun(id, { from, values: { goal: 'that' } });
      const same = await conductor.rerun(id, { from });
      await run();
      expect(await conductor.result(again)).toMatchObject({ goal: 'that', answer: 'true' });
      expect(await conductor.result(same)).toMatchObject({ goal: 'this', answer: 'true' });
      expect(await conductor.result(id)).toMatchObject({ goal: 'this' });
      await expect(conductor.rerun(id, { from, agent: 'call' })).rejects.toMatchObject({ code: 'NO_GRAPH' });
      await expect(conductor.rerun(id, { from: 'nowhere' })).rejects.toMatchObject({
        code: 'CHECKPOINT_NOT_FOUND',
      });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'that is killed in the middle of a call has made that call',
    async () => {
      const { conductor, enqueue } = conduct(where, ['stuck']);
      const id = await enqueue('stuck', 60_000, { budget: { tokens: 1_000 } });
      const loop = conductor.processQueue({ maxTasks: 1 });
      await eventually(
        () => told().includes('calling'),
        20_000,
        () => 'it did not call',
      );
      expect(await conductor.budget(id).status()).toMatchObject({ callsOpen: 1 });
      const receipt = await conductor.cancel(id, { graceMs: 50 });
      expect(receipt).toMatchObject({ run: 'killed' });
      await loop;
      expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 1, unknownCalls: 1 });
      const { callsOpen, spent } = (await conductor.budget(id).status())!;
      expect(callsOpen).toBe(0);
      expect(spent).toMatchObject({ modelCalls: 1 });
      expect(spent.tokens).toBeGreaterThan(0);
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'whose node leaves a call behind counts it, and gives the next run a new place',
    async () => {
      const { conductor, enqueue, run } = conduct(where, ['leaves']);
      const id = await enqueue('leaves', 0, { budget: { modelCalls: 9 } });
      const next = await enqueue('leaves', 0);
      expect(await run()).toMatchObject({ completed: 2, failed: 0 });
      for (const one of [id, next])
        expect(await conductor.usage({ taskId: one })).toMatchObject({ modelCalls: 1, unknownCalls: 1 });
      expect(await conductor.budget(id).status()).toMatchObject({ callsOpen: 0 });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'that is a team ends when what it may spend together is spent',
    async () => {
      const { conductor, queue, run } = conduct(where, ['bounded'], {
        agents: {
          bounded: { module: MODULE, export: 'bounded', isolation: where, budget: { modelCalls: 2 } },
          unkept: { module: MODULE, export: 'bounded', isolation: where },
        },
      });
      const id = await conductor.enqueueGoal('go', { agent: 'bounded' });
      const unkept = await conductor.enqueueGoal('go', { agent: 'unkept', maxRetries: 0 });
      await run();
      expect(await conductor.result(id)).toMatchObject({ endedBy: 'budget' });
      expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 2 });
      expect(await queue.getTask(unkept)).toMatchObject({
        status: 'failed',
        error: { code: 'INVALID_OPTION' },
      });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'hands the goal over to another of its team',
    async () => {
      const router = () => 'hands';
      const { conductor, run } = conduct(where, ['hands', 'call'], { mode: 'dynamic', router, maxSteps: 2 });
      const id = await conductor.enqueueGoal('go');
      await run();
      expect(await conductor.result(id)).toMatchObject({ path: ['hands', 'call'] });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'is metered as a part of a team, and without a queue',
    async () => {
      const { conductor, run } = conduct(where, ['asking'], { mode: 'static', plan: ['asking'] });
      const id = await conductor.enqueueGoal('go', { budget: { modelCalls: 1 } });
      expect(await run()).toMatchObject({ completed: 1 });
      expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 1, tokens: 10 });
      const end = await conductor.run('go', { agent: 'asking', budget: { key: 'direct', modelCalls: 1 } });
      expect(end).toMatchObject({ status: 'completed' });
      const over = await conductor.run('go', { agent: 'asking', budget: { key: 'direct', modelCalls: 1 } });
      expect(over).toMatchObject({ status: 'waiting' });
      expect(await conductor.usage({ key: 'direct' })).toMatchObject({ modelCalls: 1, tokens: 10 });
      expect(await conductor.usage({ agent: 'asking' })).toMatchObject({ modelCalls: 2, tokens: 20 });
    },
    TEST_TIMEOUT.timeout,
  );
});
