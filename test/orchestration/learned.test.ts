import { expect, test } from 'vitest';
import { ROUTERS } from '../../bench/routing/rivals.ts';
import { type Figures, simulateFleet } from '../../bench/routing/simulation.ts';
import { AgentCoordinator } from '../../src/index.ts';

const WRITE = { agentType: 'write' };

function coordinator(...agents: string[]) {
  const made = new AgentCoordinator({ strategy: 'learned' });
  for (const agent of agents) made.registerAgent(agent, ['write']);
  return made;
}

/** What `agents` do with tasks of the type, one after the other. */
function work(made: AgentCoordinator, tasks: number, run: (agent: string, i: number) => [boolean, number]) {
  const chosen: string[] = [];
  for (let i = 0; i < tasks; i++) {
    const agent = made.assign({ id: `task-${tasks}-${i}`, ...WRITE })!;
    made.recordOutcome(agent, WRITE, ...run(agent, i));
    chosen.push(agent);
  }
  return (name: string) => chosen.filter((agent) => agent === name).length / tasks;
}

test('it finds the agent that is best on the type, and goes on trying the others now and then', () => {
  const share = work(coordinator('slow', 'wrong', 'good'), 600, (agent, i) => [
    agent === 'wrong' ? i % 3 === 0 : i % 20 > 0,
    agent === 'slow' ? 9_000 : 3_000,
  ]);
  expect(share('good')).toBeGreaterThan(0.85);
  expect(share('slow')).toBeGreaterThan(0);
  expect(share('wrong')).toBeGreaterThan(0);
});

test('it leaves an agent that breaks within fifty tasks, and comes back to one that has recovered', () => {
  const made = coordinator('first', 'second');
  const good = (agent: string): [boolean, number] => [true, agent === 'first' ? 1_000 : 3_000];
  const broken = (agent: string): [boolean, number] => [agent !== 'first', 3_000];
  expect(work(made, 300, good)('first')).toBeGreaterThan(0.9);
  work(made, 50, broken);
  expect(work(made, 301, broken)('first')).toBeLessThan(0.15);
  work(made, 400, good);
  expect(work(made, 302, good)('first')).toBeGreaterThan(0.8);
});

test('the same task and attempt draw the same, another attempt anew, and the table says why', () => {
  const choose = (attempt: number) => {
    const made = coordinator('a', 'b', 'c');
    for (const agent of ['a', 'b', 'c']) made.recordOutcome(agent, WRITE, true, 1_000);
    return made.choose({ id: 'task', attempt, ...WRITE })!;
  };
  expect(choose(1)).toEqual(choose(1));
  expect(choose(2).scores).not.toEqual(choose(1).scores);
  const { agent, scores } = choose(1);
  expect(scores[0]).toMatchObject({
    agent,
    score: 100,
    parts: { success: expect.any(Number), ms: expect.any(Number) },
  });
  const cost = ({ parts }: (typeof scores)[0]) => parts.ms! / parts.success! ** 2.5;
  expect([...scores].sort((a, b) => cost(a) - cost(b))).toEqual(scores);
});

test('who names the type goes before who takes every type, until it turns out to be bad at it', () => {
  const made = coordinator('writer');
  made.registerAgent('helper', ['general']);
  const share = work(made, 100, () => [true, 1_000]);
  expect(share('writer')).toBe(1);
  expect(work(made, 400, (agent) => [agent === 'helper', 1_000])('helper')).toBeGreaterThan(0.4);
});

test('of a large fleet the best rows are kept', () => {
  const made = coordinator(...Array.from({ length: 100 }, (_, i) => `agent-${i}`));
  const { agent, scores } = made.choose({ id: 'task', ...WRITE })!;
  expect(scores).toHaveLength(32);
  expect(scores[0]!.agent).toBe(agent);
});

test('what others learned counts at once; without their latest runs nothing is known of these', () => {
  const [one, two] = [coordinator('a', 'b'), coordinator('a', 'b')];
  for (let i = 0; i < 40; i++) {
    one.recordOutcome('a', WRITE, false, 9_000);
    one.recordOutcome('b', WRITE, true, 1_000);
  }
  two.learnFrom(one.experience(10));
  expect(work(two, 101, (agent) => [agent === 'b', 1_000])('b')).toBeGreaterThan(0.9);
  two.learnFrom([
    { agent: 'a', agentType: 'write', runs: 5, successes: 5, totalMs: 5, recent: 'x' as never },
  ]);
  expect(two.assign({ id: 't', ...WRITE })).not.toBeNull();
});

function figures(name: string, load: number, seeds = [1, 2, 3, 4, 5], tasks = 2_000): Figures {
  const all = seeds.map((seed) => simulateFleet(ROUTERS[name]!(), { seed, tasks, load }));
  const mean = (figure: keyof Figures) => all.reduce((sum, each) => sum + each[figure], 0) / all.length;
  return {
    completionMs: mean('completionMs'),
    success: mean('success'),
    idleWhileWaiting: mean('idleWhileWaiting'),
    utilisation: mean('utilisation'),
  };
}

test('on a simulated fleet it is 30 % better than round robin and 15 % better than the seed formula', () => {
  const [robin, seedFormula, learned] = ['round robin', 'seed formula', 'learned'].map((name) =>
    figures(name, 0.8),
  );
  expect(learned!.completionMs).toBeLessThan(0.7 * robin!.completionMs);
  expect(learned!.completionMs).toBeLessThan(0.85 * seedFormula!.completionMs);
  expect(learned!.success).toBeGreaterThan(1.3 * robin!.success);
  expect(learned!.success).toBeGreaterThan(1.15 * seedFormula!.success);
  expect(learned!.idleWhileWaiting).toBeLessThan(0.05);
  expect(figures('learned', 4).utilisation).toBeGreaterThan(0.85);
});

test('it soon has: on twenty other fleets with few tasks, success is as much better as with many', () => {
  const seeds = Array.from({ length: 20 }, (_, i) => 10_001 + i);
  const [robin, learned] = ['round robin', 'learned'].map((name) => figures(name, 0.8, seeds, 1_000));
  expect(learned!.completionMs).toBeLessThan(0.6 * robin!.completionMs);
  expect(learned!.success).toBeGreaterThan(1.295 * robin!.success);
});
