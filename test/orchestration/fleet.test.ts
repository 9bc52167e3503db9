import { expect, test } from 'vitest';
import { AgentCoordinator, Conductor } from '../../src/index.ts';
import { BEAT_MS, FleetMember } from '../../src/orchestration/fleet.ts';
import { MemoryRegistry } from '../../src/queue/backends/memory/memory-registry.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';
import { liveWorkers } from '../../src/queue/workers.ts';
import { FakeClock } from '../../src/testing/index.ts';

const task = { agentType: 'write' };

/** Processes that share one registry, each with a coordinator of its own. */
function fleet() {
  const clock = new FakeClock();
  const registry = new MemoryRegistry();
  const errors: unknown[] = [];
  const member = (owner: string) => {
    const coordinator = new AgentCoordinator({ strategy: 'scored' });
    coordinator.registerAgent('writer', ['write']);
    const agents = () => [{ name: 'writer', capabilities: ['writer', 'write'], maxConcurrent: 2 } as never];
    const queue = { owner, registry, clock };
    const joined = new FleetMember({ queue, coordinator, agents, onError: (error) => errors.push(error) });
    return { coordinator, member: joined };
  };
  return { clock, registry, errors, member };
}

test('a worker is seen with its agents from its first beat until it leaves', async () => {
  const { clock, registry, member } = fleet();
  const { member: one, coordinator } = member('one');
  coordinator.assign({ id: 't' });
  one.join();
  await clock.settle();
  expect(await liveWorkers(registry, clock.now())).toEqual([
    {
      owner: 'one',
      seenAt: clock.now(),
      agents: [{ name: 'writer', capabilities: ['writer', 'write'], maxConcurrent: 2, running: 1 }],
    },
  ]);
  await clock.advance(10 * BEAT_MS);
  expect(await liveWorkers(registry, clock.now())).toMatchObject([{ owner: 'one' }]);
  await one.leave();
  expect(await liveWorkers(registry, clock.now())).toEqual([]);
  expect(clock.timers).toBe(0);
});

test('a worker that died without leaving is gone after three beats', async () => {
  const { clock, registry, member } = fleet();
  const { member: one } = member('one');
  one.join();
  await clock.settle();
  const died = clock.now();
  expect(await liveWorkers(registry, died + 3 * BEAT_MS - 1)).toHaveLength(1);
  expect(await liveWorkers(registry, died + 3 * BEAT_MS)).toEqual([]);
  await one.leave();
});

test('what one worker learned the others know at their next beat, once, and after its end', async () => {
  const { clock, member } = fleet();
  const [one, two] = [member('one'), member('two')];
  for (const success of [true, true, true, false])
    one.coordinator.recordOutcome('writer', task, success, 100);
  two.coordinator.recordOutcome('writer', task, false, 300);
  one.member.join();
  two.member.join();
  await clock.advance(2 * BEAT_MS);
  await one.member.leave();
  await clock.advance(2 * BEAT_MS);
  // 3 of 5 runs, 140 ms on average, in both; each counts its own runs once.
  for (const { coordinator } of [one, two]) {
    coordinator.assign({ id: 't', ...task });
    expect(coordinator.explain('t')[0]?.parts).toMatchObject({ success: 12, speed: 10 });
    expect(coordinator.experience(10)).toHaveLength(1);
  }
  await two.member.leave();
});

test('long names share what fits into an entry, the latest first', async () => {
  const { clock, errors, member } = fleet();
  const [one, two] = [member('one'), member('two')];
  const agent = 'a'.repeat(128);
  const types = Array.from({ length: 300 }, (_, n) => `${n}`.padStart(128, 't'));
  for (const agentType of types) one.coordinator.recordOutcome(agent, { agentType }, true, 1_234.567_890_12);
  two.coordinator.registerAgent(agent, [types[0]!, types[299]!]);
  one.member.join();
  await clock.settle();
  two.member.join();
  await clock.settle();
  expect(errors).toEqual([]);
  two.coordinator.assign({ id: 'first', agentType: types[0]! });
  two.coordinator.assign({ id: 'last', agentType: types[299]! });
  expect(two.coordinator.explain('first')[0]?.parts.success).not.toBe(20);
  expect(two.coordinator.explain('last')[0]?.parts.success).toBe(20);
  await one.member.leave();
  await two.member.leave();
});

test('garbage that others left is counted for nothing', async () => {
  const { clock, registry, errors, member } = fleet();
  for (const [key, value] of Object.entries({
    a: 'no JSON',
    b: '5',
    c: '[null]',
    d: '[{"agent":"writer","runs":-1}]',
  })) {
    await registry.put('experience', { key, value, expiresAt: null }, clock.now());
    await registry.put('workers', { key, value, expiresAt: null }, clock.now());
  }
  const { member: one, coordinator } = member('one');
  one.join();
  await clock.settle();
  coordinator.assign({ id: 't', ...task });
  expect(coordinator.explain('t')[0]?.parts.success).toBe(10);
  expect(await liveWorkers(registry, clock.now())).toHaveLength(1);
  expect(errors).toEqual([]);
  await one.leave();
});

test('a conductor is among the workers while it processes its queue', async () => {
  await using queue = new MemoryTaskQueue();
  const stop = new AbortController();
  let seen: unknown;
  const conductor = new Conductor({
    agents: {
      writer: {
        graph: {
          async invoke() {
            seen = await conductor.workers();
            stop.abort();
            return {};
          },
        },
        capabilities: ['write'],
      },
    },
    queue,
  });
  await conductor.enqueueGoal('go');
  await conductor.processQueue({ signal: stop.signal });
  expect(seen).toMatchObject([{ owner: queue.owner, agents: [{ name: 'writer' }] }]);
  expect(await conductor.workers()).toEqual([]);
});

test('stats name what waits for an agent that no live worker has', async () => {
  const { clock, member } = fleet();
  await using queue = new MemoryTaskQueue({ clock });
  await queue.enqueueMany([
    { payload: {}, agentType: 'write' },
    { payload: {}, agentType: 'vision' },
    { payload: {}, agentType: 'vision', priority: 9 },
    { payload: {}, agent: 'painter' },
    { payload: {} },
    { payload: {}, agentType: 'later', delayMs: 1_000 },
  ]);
  const all = [{ agentType: 'write' }, { agentType: 'vision' }, { agent: 'painter' }, {}];
  const unserved = async () => new Set((await queue.stats()).unserved);
  expect(await unserved()).toEqual(new Set(all));
  const { coordinator } = member('one');
  const agents = () => [{ name: 'writer', capabilities: ['writer', 'write'], maxConcurrent: 2 } as never];
  const writer = new FleetMember({ queue, coordinator, agents, onError: () => {} });
  writer.join();
  await clock.settle();
  expect(await unserved()).toEqual(new Set([{ agentType: 'vision' }, { agent: 'painter' }]));
  await writer.leave();
  expect(await unserved()).toEqual(new Set(all));
});
