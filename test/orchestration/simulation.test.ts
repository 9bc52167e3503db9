import { expect, test } from 'vitest';
import { AgentCoordinator, Conductor, type Strategy } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';
import { FakeClock, seededRandom } from '../../src/testing/index.ts';

const SPEEDS: Readonly<Record<string, number>> = { fast: 300, middling: 900, slow: 2_700 };

/** A queue whose `count` tasks were run by three agents, at times that are nobody's but the clock's. */
async function history(count: number, everyMs: number, strategy?: Strategy) {
  const clock = new FakeClock(undefined, 2);
  const random = seededRandom(7);
  const queue = new MemoryTaskQueue({ clock, random: seededRandom(8) });
  const agents = Object.fromEntries(
    Object.entries(SPEEDS).map(([name, ms]) => [
      name,
      {
        graph: {
          async invoke() {
            const time = Math.round(ms * (0.5 + random()));
            await new Promise<void>((resolve) => clock.setTimeout(resolve, time));
            if (random() < 0.05) throw new Error('now and then');
            return {};
          },
        },
        capabilities: ['write'],
        maxConcurrent: 1,
      },
    ]),
  );
  const given = strategy && { coordinator: new AgentCoordinator({ strategy }) };
  const conductor = new Conductor({ agents, queue, ...given });
  const stop = new AbortController();
  const working = conductor.processQueue({ signal: stop.signal, maxConcurrent: 3 });
  for (let i = 0; i < count; i++) {
    await conductor.enqueueGoal('go', { agentType: 'write', priority: (1 + (i % 10)) as 5, id: `t${i}` });
    await clock.advance(Math.round(everyMs * 2 * random()));
  }
  while ((await queue.stats()).counts.completed + (await queue.stats()).counts.failed < count) {
    await clock.advance(1_000);
  }
  stop.abort();
  await clock.advance(1_000);
  await working;
  return { conductor, queue, close: () => Promise.all([conductor.close(), queue.close()]) };
}

// A round goes on from whoever was last: one difference is followed by others, until the agents meet again.
test.each<[Strategy | undefined, number]>([
  [undefined, 0.99],
  ['learned', 0.99],
  ['scored', 0.99],
  ['roundRobin', 0.95],
])('today’s settings reproduce the recorded assignments: strategy %s', async (strategy, share) => {
  const { conductor, close } = await history(400, 320, strategy);
  const report = await conductor.simulate();
  expect(report).toMatchObject({ tasks: 400, misses: 0 });
  expect(report.completed + report.failed).toBe(400);
  expect(report.reproduced).toBeGreaterThanOrEqual(share);
  await close();
});

/** With all that makes a history: a fleet that is kept busy, with failures, types, limits, delays and pauses. */
async function variedHistory(seed: number, count: number) {
  const clock = new FakeClock(undefined, 2);
  const random = seededRandom(seed);
  const queue = new MemoryTaskQueue({ clock, random: seededRandom(seed + 1) });
  const agent = (ms: number, maxConcurrent: number, ...capabilities: string[]) => ({
    graph: {
      async invoke() {
        const time = Math.round(ms * (0.5 + random()));
        await new Promise<void>((resolve) => clock.setTimeout(resolve, time));
        if (random() < 0.25) throw new Error('often');
        return {};
      },
    },
    capabilities,
    maxConcurrent,
  });
  const agents = {
    fast: agent(300, 1, 'write'),
    middling: agent(900, 2, 'write', 'read'),
    slow: agent(2_700, 1, 'write'),
    any: agent(1_200, 2, 'general'),
  };
  const conductor = new Conductor({ agents, queue });
  const stop = new AbortController();
  const working = conductor.processQueue({ signal: stop.signal, maxConcurrent: 5 });
  const options = () => ({
    agentType: random() < 0.4 ? 'read' : 'write',
    priority: (1 + Math.floor(10 * random())) as 5,
    maxRetries: Math.floor(4 * random()),
    ...(random() < 0.4 && { limits: [{ key: `k${Math.floor(3 * random())}`, max: 1 }] }),
    ...(random() < 0.2 && { delayMs: Math.round(3_000 * random()) }),
  });
  for (let i = 0; i < count; i++) {
    await conductor.enqueueGoal('go', { id: `t${i}`, ...options() });
    await clock.advance(Math.round(460 * random()));
    if (i % 60 === 10) await queue.pause({ agent: 'fast' });
    if (i % 60 === 20) await queue.resume({ agent: 'fast' });
  }
  while ((await queue.stats()).counts.completed + (await queue.stats()).counts.failed < count) {
    await clock.advance(1_000);
  }
  stop.abort();
  await clock.advance(1_000);
  await working;
  return { conductor, queue, close: () => Promise.all([conductor.close(), queue.close()]) };
}

test.each([11, 12])(
  'so does a history of failures, types, limits, delays and pauses: seed %i',
  async (seed) => {
    const { conductor, close } = await variedHistory(seed, 300);
    const report = await conductor.simulate();
    expect(report).toMatchObject({ tasks: 300, misses: 0 });
    expect(report.reproduced).toBeGreaterThanOrEqual(0.99);
    await close();
  },
);

/** Of a ms of the queue's. */
const TICKS = 20;

/** A busy fleet on a clock of whole ms, of which each has room for many things in any order, as a real one's has. */
async function coarseHistory(seed: number, count: number, more: { readonly types?: boolean } = {}) {
  const ticks = new FakeClock(0, 2);
  const clock = {
    now: () => 1_700_000_000_000 + Math.floor(ticks.now() / TICKS),
    setTimeout: (callback: () => void, ms: number) => ticks.setTimeout(callback, ms * TICKS),
    clearTimeout: (handle: unknown) => ticks.clearTimeout(handle),
  };
  const random = seededRandom(seed);
  const retry = { initialInterval: 25, backoffFactor: 2, maxInterval: 200, jitter: true };
  const queue = new MemoryTaskQueue({ clock, random: seededRandom(seed + 1), retry });
  const agent = (ms: number, maxConcurrent: number, ...capabilities: string[]) => ({
    graph: {
      async invoke() {
        const time = Math.round(ms * TICKS * (0.5 + random()));
        await new Promise<void>((resolve) => ticks.setTimeout(resolve, time));
        if (random() < 0.3) throw new Error('often');
        return {};
      },
    },
    capabilities,
    maxConcurrent,
  });
  const agents = {
    fast: agent(20, 1, 'write'),
    middling: agent(60, 2, 'write', 'read'),
    slow: agent(180, 1, 'write'),
    any: agent(80, 2, 'general'),
  };
  const conductor = new Conductor({ agents, queue });
  const stop = new AbortController();
  const working = conductor.processQueue({ signal: stop.signal, maxConcurrent: 5 });
  for (let i = 0; i < count; i++) {
    await conductor.enqueueGoal('go', {
      id: `t${i}`,
      agentType: more.types && random() < 0.4 ? 'read' : 'write',
      priority: more.types ? 1 + Math.floor(10 * random()) : 5,
      maxRetries: Math.floor(4 * random()),
    });
    await ticks.advance(Math.round(25 * TICKS * random()));
  }
  while ((await queue.stats()).counts.completed + (await queue.stats()).counts.failed < count) {
    await ticks.advance(100 * TICKS);
  }
  stop.abort();
  await ticks.advance(100 * TICKS);
  await working;
  return { conductor, queue, close: () => Promise.all([conductor.close(), queue.close()]) };
}

test.each([
  [14, {}],
  [12, {}],
  [13, { types: true }],
])('what came in one ms comes in its order: retries under load, seed %i', async (seed, more) => {
  const { conductor, queue, close } = await coarseHistory(seed, 250, more);
  const report = await conductor.simulate();
  expect(report).toMatchObject({ tasks: 250, misses: 0 });
  expect(report.reproduced).toBeGreaterThanOrEqual(0.99);
  // Other settings, or other agents than those of then, are no matter of what was.
  const agents = { fast: { capabilities: ['write', 'read'], maxConcurrent: 6 } };
  expect((await conductor.simulate({ agents })).reproduced).toBeLessThan(0.7);
  const other = new Conductor({ agents: { fast: { graph: { invoke: () => ({}) }, ...agents.fast } }, queue });
  expect((await other.simulate()).wait.meanMs).toBeLessThan(report.wait.meanMs);
  await other.close();
  await close();
});

test('other settings show what they would have come to, and change nothing', async () => {
  const { conductor, queue, close } = await history(200, 320);
  const before = await queue.stats();
  const today = await conductor.simulate();
  expect(today.utilisation).toBeGreaterThan(0.2);
  expect(today.utilisation).toBeLessThanOrEqual(1);
  const alone = await conductor.simulate({
    agents: { slow: { capabilities: ['write'], maxConcurrent: 1 } },
    missMs: 5_000,
  });
  expect(alone.wait.meanMs).toBeGreaterThan(10 * today.wait.meanMs);
  expect(alone.misses).toBeGreaterThan(150);
  expect(alone.agents).toMatchObject({ slow: { runs: expect.any(Number) } });
  const robin = await conductor.simulate({ strategy: 'roundRobin' });
  expect(robin.agents.slow!.runs).toBeGreaterThan(today.agents.slow!.runs);
  expect(await conductor.simulate({ strategy: 'roundRobin' })).toEqual(robin);
  expect(await queue.stats()).toEqual(before);
  await close();
});

test('limits are those of the keys as they stand, or as they are asked for', async () => {
  const clock = new FakeClock(undefined, 2);
  const queue = new MemoryTaskQueue({ clock });
  const work = { invoke: () => new Promise<void>((resolve) => clock.setTimeout(resolve, 1_000)) };
  const conductor = new Conductor({ agents: { worker: work }, queue });
  const limits = [{ key: 'provider', max: 1 }];
  await conductor.enqueueGoals(Array.from({ length: 10 }, (_, i) => ({ goal: `${i}`, limits })));
  const done = conductor.processQueue({ untilEmpty: true, maxConcurrent: 5 });
  await clock.advance(20_000);
  await done;
  expect((await conductor.simulate({ maxConcurrent: 5 })).wait.maxMs).toBe(9_000);
  const wider = await conductor.simulate({ maxConcurrent: 5, limits: [{ key: 'provider', max: 5 }] });
  expect(wider.wait.maxMs).toBe(1_000);
  expect(await new Conductor({ agents: { worker: work } }).simulate()).toMatchObject({
    tasks: 0,
    reproduced: 1,
  });
  await conductor.close();
  await queue.close();
});
