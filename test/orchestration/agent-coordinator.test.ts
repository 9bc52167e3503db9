import { expect, test } from 'vitest';
import { AgentCoordinator, Conductor } from '../../src/index.ts';
import { agentFrom } from '../../src/orchestration/agent.ts';
import { planClaims } from '../../src/orchestration/claim-plan.ts';
import { APPROVAL_TYPE } from '../../src/queue/approval.ts';

const task = (more: object = {}) => ({ id: 't', priority: 5, agentType: 'write', ...more });

function coordinator(strategy?: ConstructorParameters<typeof AgentCoordinator>[0]) {
  const made = new AgentCoordinator(strategy);
  made.registerAgent('writer', ['write']);
  made.registerAgent('helper', ['general']);
  made.registerAgent('painter', ['paint']);
  return made;
}

test('hard filters come first: the pinned agent, the capability, the free capacity', () => {
  const made = coordinator();
  expect(made.assign(task({ agent: 'painter' }))).toBe('painter');
  expect(made.assign(task({ agent: 'nobody' }))).toBeNull();
  expect(made.assign(task({ agentType: 'paint' }))).toBe('painter');
  expect(made.assign(task({ agentType: 'sing' }))).toBe('helper');
  made.registerAgent('solo', ['sing'], { maxConcurrent: 1 });
  expect(made.assign(task({ agentType: 'sing', agent: 'solo' }))).toBe('solo');
  expect(made.assign(task({ agentType: 'sing', agent: 'solo' }))).toBeNull();
  made.recordOutcome('solo', task({ agentType: 'sing' }), true, 10);
  expect(made.assign(task({ agentType: 'sing', agent: 'solo' }))).toBe('solo');
});

test('the score is the seed formula, and explained', () => {
  const made = coordinator({ strategy: 'scored' });
  for (const success of [true, true, true, false]) made.recordOutcome('writer', task(), success, 200);
  made.recordOutcome('helper', task(), true, 100);
  made.assign(task({ id: 'before' }));
  expect(made.assign(task({ priority: 10 }))).toBe('writer');
  expect(made.explain('t')).toEqual([
    { agent: 'writer', score: 105, parts: { capability: 50, priority: 40, load: -5, success: 15, speed: 5 } },
    { agent: 'helper', score: 70, parts: { capability: 0, priority: 40, load: 0, success: 20, speed: 10 } },
  ]);
  expect(made.explain('unknown')).toEqual([]);
});

test('a busy specialist gives way when its load outweighs its capability, by the formula', () => {
  const made = coordinator({ strategy: 'scored' });
  const chosen = Array.from({ length: 12 }, (_, i) => made.assign(task({ id: `t${i}` })));
  expect(chosen.slice(0, 10)).toEqual(Array(10).fill('writer'));
  expect(chosen).toContain('helper');
});

test('other strategies: the least loaded, each in turn, a function', () => {
  const least = coordinator({ strategy: 'leastLoaded' });
  expect([0, 1, 2, 3].map((i) => least.assign(task({ id: `t${i}` })))).toEqual([
    'writer',
    'helper',
    'writer',
    'helper',
  ]);
  const robin = coordinator({ strategy: 'roundRobin' });
  const any = { id: 't', priority: 5 };
  expect(new Set([0, 1, 2].map(() => robin.assign(any)))).toEqual(new Set(['writer', 'helper', 'painter']));
  const last = coordinator({ strategy: (_task, scores) => scores.at(-1)?.agent ?? null });
  expect(last.assign(task())).toBe('helper');
  expect(() => new AgentCoordinator({ strategy: 'random' as 'scored' })).toThrow('strategy');
});

test('planned claims never exceed what any agent may take', () => {
  const capacity = (name: string, free: number) => ({
    agent: agentFrom(name, { invoke: async () => 1 }),
    free,
  });
  expect(planClaims(0, [capacity('a', 5)])).toEqual([]);
  expect(planClaims(3, [capacity('a', 0)])).toEqual([]);
  expect(planClaims(8, [capacity('a', 2), capacity('b', Infinity), capacity('c', 0)])).toEqual([
    { limit: 2, runnableBy: { agents: ['a', 'b'], agentTypes: ['a', 'b', APPROVAL_TYPE] } },
    { limit: 6, runnableBy: { agents: ['b'], agentTypes: ['b', APPROVAL_TYPE] } },
  ]);
});

test('a conductor refuses agents that are none', () => {
  expect(() => new Conductor({ agents: { broken: {} as never } })).toThrow('agents.broken');
});

test('a duration that is none is refused, and leaves the scores as they were', () => {
  const made = coordinator();
  expect(() => made.recordOutcome('writer', task(), true, Number.NaN)).toThrow('a number from 0');
  made.assign(task());
  expect(made.explain('t').every(({ score }) => Number.isFinite(score))).toBe(true);
});

test('a priority may be given by name, or not at all', () => {
  const made = coordinator({ strategy: 'scored' });
  made.assign({ id: 'named', priority: 'critical' });
  expect(made.explain('named')[0]?.parts.priority).toBe(40);
  made.assign({ id: 'plain' });
  expect(made.explain('plain')[0]?.parts.priority).toBe(10);
});

test('an agent of another conductor on the same coordinator never takes a task here', async () => {
  const shared = new AgentCoordinator();
  const done = (name: string) => ({ invoke: () => name, capabilities: ['both'] });
  await using other = new Conductor({ agents: { theirs: done('theirs') }, coordinator: shared });
  await using conductor = new Conductor({ agents: { mine: done('mine') }, coordinator: shared });
  // Their agent has the better score.
  for (let i = 0; i < 3; i++) shared.recordOutcome('mine', { agentType: 'both' }, false, 10);
  const id = await conductor.enqueueGoal('go', { agentType: 'both' });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result<string>(id)).toBe('mine');
  expect(await conductor.run('go', { agentType: 'both' })).toMatchObject({ agent: 'mine' });
  expect([shared.load('mine'), shared.load('theirs')]).toEqual([0, 0]);
  expect(other.coordinator).toBe(shared);
});
