import { expect, test } from 'vitest';
import { Conductor, type ModuleAgent } from '../../src/index.ts';

/** As source: threads get it by the loader that is asked for. */
const module = new URL('../faults/workers/isolated-graphs.ts', import.meta.url);

test('an agent by the name of its module is loaded when it first runs', async () => {
  const agents = { plain: { module, export: 'plain' }, gone: { module, export: 'gone' } };
  await using conductor = new Conductor({ agents });
  const end = await conductor.run('go', { agent: 'plain', input: { ms: 1 } });
  expect(end).toMatchObject({ status: 'completed', result: { goal: 'go', answer: 'true' } });
  await expect(conductor.run('go', { agent: 'gone' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  await expect(conductor.run('go', { agent: 'plain', input: { typo: 1 } })).rejects.toMatchObject({
    code: 'INVALID_TASK',
  });
});

test('in a thread its source is loaded by the loader that is named, as a part of a team too', async () => {
  const isolation = { in: 'thread', execArgv: ['--import', 'tsx'] } as const;
  const said = { module, export: 'call', isolation };
  await using conductor = new Conductor({ agents: { said }, mode: 'static', plan: ['said'] });
  const id = await conductor.enqueueGoal('go', { agent: 'said' });
  const team = await conductor.enqueueGoal('together');
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ said: 'go' });
  expect(JSON.stringify(await conductor.result(team))).toContain('"said":"together"');
});

test('in a thread its calls of models are counted, and stay within the budget', async () => {
  const isolation = { in: 'thread', execArgv: ['--import', 'tsx'] } as const;
  await using conductor = new Conductor({ agents: { spends: { module, export: 'spends', isolation } } });
  const input = { file: '/dev/null', ms: 4 };
  const id = await conductor.enqueueGoal('go', { input, budget: { modelCalls: 3 } });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
  expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 3, tokens: 30 });
  await conductor.budget(id).raise({ modelCalls: 4 });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ completed: 1 });
  expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 7, tokens: 70 });
});

test.each([
  [{ module: './agents.js' }, 'agents.a.module'],
  [{ module, isolation: 'somewhere' }, 'agents.a.isolation'],
  [{ module, isolation: { in: 'thread', maxMemoryMb: 1 } }, 'maxMemoryMb'],
  [{ module, isolation: { in: 'process', graceMs: -1 } }, 'graceMs'],
  [{ module, isolation: { in: 'process', startMs: Number.NaN } }, 'startMs'],
])('%j is refused', (agent, problem) => {
  expect(() => new Conductor({ agents: { a: agent as ModuleAgent } })).toThrow(problem);
});
