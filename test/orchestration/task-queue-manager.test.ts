import { END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import {
  AgentCoordinator,
  type AgentDefinition,
  Conductor,
  type ManagerEvents,
  TaskQueueManager,
} from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { MemoryTaskStore } from '../../src/queue/backends/memory/memory-task-store.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import type { TaskQueueOptions } from '../../src/queue/task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { claimAndRelease, deferred, State, threeSteps, until } from './graphs.ts';

const unhandled: unknown[] = [];
const remember = (error: unknown) => unhandled.push(error);
beforeEach(() => {
  unhandled.length = 0;
  process.on('unhandledRejection', remember);
});
afterEach(async () => {
  await new Promise<void>((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', remember);
  expect(unhandled).toEqual([]);
});

const work = (invoke: () => Promise<unknown>, more: Partial<AgentDefinition> = {}): AgentDefinition => ({
  graph: { invoke },
  ...more,
});

/** A fake clock, a queue on it, and a manager for the agents. */
function bundle(agents: Record<string, AgentDefinition>, options: TaskQueueOptions = {}) {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock, random: () => 0.5, ...options });
  const checkpointer = new FencedMemorySaver();
  const conductor = new Conductor({ agents, queue, checkpointer });
  const manager = new TaskQueueManager(conductor, queue, { random: () => 0.5 });
  const events: (keyof ManagerEvents)[] = [];
  for (const event of ['started', 'settled', 'leaseLost'] as const)
    manager.on(event, () => events.push(event));
  const status = async (id: string) => (await queue.getTask(id))?.status;
  const close = async () => {
    await manager.stop({ drainMs: 0 });
    await queue.close();
  };
  return { clock, queue, checkpointer, conductor, manager, events, status, close };
}

describe('a run that fails', () => {
  test('is tried again from its last checkpoint, after its back-off', async () => {
    const log: string[] = [];
    let failures = 2;
    const graph = threeSteps(log, {
      second: () => {
        if (failures-- > 0) throw new Error('rate limited');
      },
    }).compile();
    const { clock, conductor, manager, queue, status, close } = bundle({ steps: { graph } });
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await until(async () => (await status(id)) === 'retrying');
    expect(log).toEqual(['first', 'second']);
    await clock.advance(600);
    await until(async () => (await queue.getTask(id))?.retryCount === 2);
    await clock.advance(2_000);
    await until(async () => (await status(id)) === 'completed');
    expect(log).toEqual(['first', 'second', 'second', 'second', 'third']);
    expect(manager.status().processed).toEqual({ completed: 1, failed: 0, waiting: 0 });
    await close();
  });

  test('keeps whatever was thrown as data', async () => {
    const { conductor, manager, queue, status, close } = bundle({
      odd: work(() => Promise.reject('just a text')),
    });
    const id = await conductor.enqueueGoal('go', { maxRetries: 0 });
    manager.start();
    await until(async () => (await status(id)) === 'failed');
    expect(await queue.getTask(id)).toMatchObject({ error: { message: 'just a text' } });
    await close();
  });

  test('fails at once where every other run would end the same way', async () => {
    const loop = new StateGraph(State)
      .addNode('again', () => ({ notes: ['x'] }))
      .addEdge(START, 'again')
      .addConditionalEdges('again', () => 'again')
      .compile();
    const { conductor, manager, queue, status, close } = bundle({ loop: { graph: loop, recursionLimit: 3 } });
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await until(async () => (await status(id)) === 'failed');
    expect(await queue.getTask(id)).toMatchObject({ retryCount: 0, error: { name: 'GraphRecursionError' } });
    await close();
  });
});

describe('a crash', () => {
  test('is resumed where it was: finished nodes do not run again', async () => {
    const log: string[] = [];
    let crash = true;
    const steps = () =>
      threeSteps(log, {
        second: () => {
          if (crash) throw new Error('killed here');
        },
      });
    const { conductor, manager, checkpointer, queue, status, close } = bundle({
      steps: { graph: steps().compile() },
    });
    const id = await conductor.enqueueGoal('go');
    await claimAndRelease(queue);
    const thread = { configurable: { thread_id: id } };
    await steps()
      .compile({ checkpointer })
      .invoke({ goal: 'go' }, thread)
      .catch(() => {});
    crash = false;
    manager.start();
    await until(async () => (await status(id)) === 'completed');
    expect(log).toEqual(['first', 'second', 'second', 'third']);
    expect((await queue.getTask(id))?.result).toMatchObject({ notes: ['first', 'second', 'third'] });
    await close();
  });

  test('between the end and its record costs no second run', async () => {
    const log: string[] = [];
    const { conductor, manager, checkpointer, queue, status, close } = bundle({
      steps: { graph: threeSteps(log).compile() },
    });
    const id = await conductor.enqueueGoal('go');
    await claimAndRelease(queue);
    const finished = threeSteps(log).compile({ checkpointer });
    await finished.invoke({ goal: 'go' }, { configurable: { thread_id: id } });
    manager.start();
    await until(async () => (await status(id)) === 'completed');
    expect(log).toHaveLength(3);
    expect((await queue.getTask(id))?.result).toMatchObject({ notes: ['first', 'second', 'third'] });
    await close();
  });
});

describe('a node that hangs', () => {
  test('loses its slot at the timeout, and its late end changes nothing', async () => {
    const gate = deferred();
    const log: string[] = [];
    const graph = threeSteps(log, {
      second: () => (log.filter((n) => n === 'second').length === 1 ? gate.promise : undefined),
    });
    const { clock, conductor, manager, queue, status, close } = bundle({ steps: { graph: graph.compile() } });
    const id = await conductor.enqueueGoal('go', { timeoutMs: 1_000, maxRetries: 1 });
    manager.start();
    await until(() => log.length === 2);
    await clock.advance(1_000);
    await until(async () => (await status(id)) === 'retrying');
    expect((await queue.getTask(id))?.error).toMatchObject({ code: 'TIMEOUT' });
    expect(manager.status().running).toEqual([]);
    await clock.advance(1_000);
    await until(async () => (await status(id)) === 'completed');
    const recorded = await queue.getTask(id);
    gate.resolve();
    await clock.settle();
    expect(await queue.getTask(id)).toEqual(recorded);
    await close();
  });

  test('is bounded by the agent where the task says nothing', async () => {
    const { clock, conductor, manager, status, close } = bundle({
      hang: work(() => new Promise(() => {}), { timeoutMs: 300 }),
    });
    const id = await conductor.enqueueGoal('go', { maxRetries: 0 });
    manager.start();
    await until(async () => (await status(id)) === 'in_progress');
    await clock.advance(300);
    await until(async () => (await status(id)) === 'failed');
    await close();
  });
});

describe('a lease', () => {
  test('is kept by heartbeats while a run takes long, and the assignment is recorded meanwhile', async () => {
    const gate = deferred<string>();
    const { clock, conductor, manager, queue, status, close } = bundle({ slow: work(() => gate.promise) });
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await until(async () => (await status(id)) === 'in_progress');
    for (let s = 0; s < 20; s++) await clock.advance(5_000);
    expect(await queue.getTask(id)).toMatchObject({
      status: 'in_progress',
      crashes: 0,
      assignedAgent: 'slow',
    });
    gate.resolve('done');
    await until(async () => (await status(id)) === 'completed');
    await close();
  });

  test('that is lost aborts the run, and nothing of it is recorded', async () => {
    const clock = new FakeClock();
    const store = new MemoryTaskStore();
    const mine = new StoredTaskQueue(store, { clock, owner: 'mine' });
    const other = new StoredTaskQueue(store, { clock, owner: 'other' });
    let signal: AbortSignal | undefined;
    const conductor = new Conductor({
      agents: {
        slow: {
          invoke: (_input, options) => {
            signal = options.signal;
            return new Promise<never>(() => {});
          },
        },
      },
      queue: mine,
    });
    const manager = new TaskQueueManager(conductor, mine);
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await until(() => signal !== undefined);
    const cancelled = await other.cancel(id);
    await clock.advance(mine.heartbeatMs);
    await until(() => signal?.aborted === true);
    await until(() => manager.status().settling === 0);
    expect(await other.getTask(id)).toMatchObject({ status: 'cancelled', version: cancelled.version });
    await manager.stop();
    await mine.close();
    await other.close();
  });

  test('of a task cancelled here is lost at once', async () => {
    const started = deferred();
    const { conductor, manager, events, status, close } = bundle({
      slow: work(() => {
        started.resolve();
        return new Promise(() => {});
      }),
    });
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await started.promise;
    await conductor.cancel(id, 'changed my mind');
    await until(() => events.includes('leaseLost'));
    expect(await status(id)).toBe('cancelled');
    expect(manager.status().running).toEqual([]);
    await close();
  });
});

describe('stopping', () => {
  test('lets a graph end its superstep and hands the task back uncharged', async () => {
    const log: string[] = [];
    const gate = deferred();
    const graph = threeSteps(log, { second: () => gate.promise });
    const { conductor, manager, queue, close } = bundle({ steps: { graph: graph.compile() } });
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await until(() => log.length === 2);
    const stopped = manager.stop();
    expect(manager.stop()).toBe(stopped);
    gate.resolve();
    await stopped;
    expect(log).toEqual(['first', 'second']);
    expect(await queue.getTask(id)).toMatchObject({ status: 'pending', retryCount: 0, crashes: 0 });
    expect(manager.status().state).toBe('stopped');
    await conductor.processQueue({ untilEmpty: true });
    expect(log).toEqual(['first', 'second', 'third']);
    await close();
  });

  test('hands back what ignores the drain, renewing its lease until then', async () => {
    const { clock, conductor, manager, queue, close } = bundle({
      hang: work(() => new Promise(() => {})),
    });
    const id = await conductor.enqueueGoal('go');
    manager.start();
    await until(() => manager.status().running.length === 1);
    const stopped = manager.stop({ drainMs: 60_000 });
    for (let s = 0; s < 11; s++) await clock.advance(5_000);
    expect(await queue.getTask(id)).toMatchObject({ status: 'in_progress', crashes: 0 });
    await clock.advance(5_000);
    await stopped;
    expect(await queue.getTask(id)).toMatchObject({ status: 'pending', retryCount: 0, crashes: 0 });
    await close();
    expect(clock.timers).toBe(0);
  });

  test('ends in bounded time while the store is away', async () => {
    const gate = deferred<string>();
    const { clock, conductor, manager, queue, close } = bundle({ slow: work(() => gate.promise) });
    await conductor.enqueueGoal('go');
    manager.start();
    await until(() => manager.status().running.length === 1);
    const settle = queue.settle.bind(queue);
    queue.settle = () => Promise.reject(new Error('the disk is gone'));
    gate.resolve('done');
    let isStopped = false;
    const stopped = manager.stop({ drainMs: 100 }).then(() => {
      isStopped = true;
    });
    await clock.advance(4_000);
    expect(isStopped).toBe(false);
    expect(manager.status().loops.settle.errors).toBeGreaterThan(0);
    await clock.advance(2_000);
    await stopped;
    queue.settle = settle;
    await close();
  });
});

test('a result finished while the store was away is written when it is back, not computed again', async () => {
  let runs = 0;
  const { clock, conductor, manager, queue, status, close } = bundle({
    quick: work(async () => {
      runs += 1;
      return 'done';
    }),
  });
  const settle = queue.settle.bind(queue);
  queue.settle = () => Promise.reject(new Error('the disk is full'));
  const id = await conductor.enqueueGoal('go');
  manager.start();
  await until(() => manager.status().loops.settle.errors > 0);
  await clock.advance(20_000);
  queue.settle = settle;
  await clock.advance(10_000);
  await until(async () => (await status(id)) === 'completed');
  expect(runs).toBe(1);
  await close();
});

test('the loop goes on after errors of the store, with back-off', async () => {
  const { clock, conductor, manager, queue, status, close } = bundle({ quick: work(async () => 'done') });
  const dequeueMany = queue.dequeueMany.bind(queue);
  let tries = 0;
  queue.dequeueMany = () => {
    tries += 1;
    return Promise.reject(new Error('the store is away'));
  };
  manager.start();
  const id = await conductor.enqueueGoal('go');
  await clock.advance(10_000);
  expect(tries).toBeGreaterThan(5);
  expect(tries).toBeLessThan(20);
  expect(manager.status().loops.claim).toMatchObject({ errors: tries, lastError: 'the store is away' });
  queue.dequeueMany = dequeueMany;
  await clock.advance(6_000);
  await until(async () => (await status(id)) === 'completed');
  await close();
});

describe('capacity', () => {
  test('no agent gets more than it may run, and the others are not held up by it', async () => {
    const running = { small: 0, large: 0 };
    const peak = { small: 0, large: 0 };
    const gate = deferred();
    const agent = (name: 'small' | 'large') => async () => {
      running[name] += 1;
      peak[name] = Math.max(peak[name], running[name]);
      await gate.promise;
      running[name] -= 1;
    };
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const conductor = new Conductor({
      agents: { small: work(agent('small'), { maxConcurrent: 2 }), large: work(agent('large')) },
      queue,
    });
    const goals = Array.from({ length: 20 }, (_, i) => ({
      goal: 'go',
      agentType: i % 2 ? 'small' : 'large',
    }));
    await conductor.enqueueGoals(goals);
    const done = conductor.processQueue({ untilEmpty: true, maxConcurrent: 8 });
    await until(() => running.small + running.large === 8);
    expect((await queue.stats()).counts.in_progress).toBe(8);
    gate.resolve();
    expect(await done).toMatchObject({ completed: 20 });
    expect(peak.small).toBeLessThanOrEqual(2);
    expect(peak.large).toBeGreaterThanOrEqual(6);
    await queue.close();
  });
});

describe('untilEmpty', () => {
  test('waits for what is delayed, and not for what waits for a person or behind one', async () => {
    const ask = new StateGraph(State)
      .addNode('ask', () => ({ answer: String(interrupt('?')) }))
      .addEdge(START, 'ask')
      .addEdge('ask', END)
      .compile();
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const conductor = new Conductor({ agents: { ask, quick: { invoke: async () => 'done' } }, queue });
    const [asking, behind, later] = await conductor.enqueueGoals([
      { goal: 'ask', id: 'ask', agent: 'ask' },
      { goal: 'after it', agent: 'quick', dependsOn: ['ask'] },
      { goal: 'later', agent: 'quick', delayMs: 60_000 },
      { goal: 'elsewhere', agent: 'somebody-else' },
    ]);
    let counts: unknown;
    const done = conductor.processQueue({ untilEmpty: true }).then((value) => {
      counts = value;
    });
    await clock.advance(30_000);
    expect(counts).toBeUndefined();
    await clock.advance(31_000);
    await done;
    expect(counts).toEqual({ completed: 1, failed: 0, waiting: 1 });
    expect((await queue.getTask(asking!))?.status).toBe('waiting');
    expect((await queue.getTask(behind!))?.status).toBe('pending');
    expect((await queue.getTask(later!))?.status).toBe('completed');
    await queue.close();
    expect(clock.timers).toBe(0);
  });
});

test('maxTasks ends the loop after that many, and a signal ends it at once', async () => {
  await using conductor = new Conductor({ agents: { quick: { invoke: async () => 'done' } } });
  await conductor.enqueueGoals(['a', 'b', 'c', 'd', 'e']);
  expect(await conductor.processQueue({ maxTasks: 2 })).toMatchObject({ completed: 2 });
  const controller = new AbortController();
  const loop = conductor.processQueue({ signal: controller.signal });
  await until(async () => (await conductor.queue.stats()).counts.completed === 5);
  controller.abort();
  expect(await loop).toMatchObject({ completed: 3 });
});

test('a paused manager claims nothing until it is resumed', async () => {
  const { clock, conductor, manager, status, close } = bundle({ quick: work(async () => 'done') });
  manager.start();
  manager.pause();
  const id = await conductor.enqueueGoal('go');
  await clock.advance(5_000);
  expect(await status(id)).toBe('pending');
  manager.resume();
  await until(async () => (await status(id)) === 'completed');
  await close();
});

test('with several agents for a task, its thread stays with the one that began it', async () => {
  const log: string[] = [];
  let failures = 2;
  const graph = (name: string) =>
    threeSteps([], {
      first: () => {
        log.push(name);
      },
      second: () => {
        log.push(name);
        if (failures-- > 0) throw new Error('not yet');
      },
    }).compile();
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock, random: () => 0.5 });
  const conductor = new Conductor({
    agents: {
      left: { graph: graph('left'), capabilities: ['both'] },
      right: { graph: graph('right'), capabilities: ['both'] },
    },
    coordinator: new AgentCoordinator({ strategy: 'roundRobin' }),
    queue,
  });
  const id = await conductor.enqueueGoal('go', { agentType: 'both' });
  const done = conductor.processQueue({ untilEmpty: true });
  for (let s = 0; s < 5; s++) await clock.advance(1_000);
  await done;
  expect(log).toHaveLength(4);
  expect(new Set(log).size).toBe(1);
  expect(await queue.getTask(id)).toMatchObject({
    status: 'completed',
    retryCount: 2,
    assignedAgent: log[0],
  });
  await queue.close();
});

test('a retry whose agent is busy holds up nobody else, and is not put off for long', async () => {
  let failures = 1;
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock, random: () => 0.5, agingMs: Infinity });
  const started: Record<string, number> = {};
  const from = clock.now();
  const agent = (name: string) => ({
    graph: {
      invoke: async (_: unknown, { configurable }: { configurable: { jotty: { taskId: string } } }) => {
        const { taskId } = configurable.jotty;
        started[taskId] = clock.now() - from;
        if (taskId === 'retried' && failures-- > 0) throw new Error('not yet');
        if (taskId === 'long') await new Promise<void>((resolve) => clock.setTimeout(resolve, 70_000));
        return { name };
      },
    },
    capabilities: ['both'],
    maxConcurrent: 1,
  });
  const strategy = (_: unknown, scores: readonly { agent: string }[]) =>
    scores.some(({ agent }) => agent === 'left') ? 'left' : 'right';
  const conductor = new Conductor({
    agents: { left: agent('left'), right: agent('right') } as never,
    coordinator: new AgentCoordinator({ strategy }),
    queue,
  });
  const stop = new AbortController();
  const done = conductor.processQueue({ signal: stop.signal });
  await conductor.enqueueGoal('go', { id: 'retried', agentType: 'both', priority: 9 });
  await clock.advance(10);
  await conductor.enqueueGoal('go', { id: 'long', agent: 'left' });
  // Both fall due at the same moment: first the retry, whose own agent is busy.
  const { runAt } = (await queue.getTask('retried'))!;
  await conductor.enqueueGoal('go', { id: 'other', agentType: 'both', priority: 1, runAt });
  await clock.advance(1_000);
  expect(started.other! + from).toBe(runAt);
  for (let s = 0; s < 75; s++) await clock.advance(1_000);
  expect(started.long).toBeLessThan(20);
  expect(started.retried! - started.long!).toBeGreaterThanOrEqual(70_000);
  expect(started.retried! - started.long!).toBeLessThanOrEqual(72_100);
  stop.abort();
  await clock.advance(1_000);
  await done;
  await queue.close();
});

test('what was fetched ahead is handed back by stop without having run', async () => {
  let runs = 0;
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock });
  const conductor = new Conductor({
    agents: {
      hang: {
        invoke: () => {
          runs += 1;
          return new Promise(() => {});
        },
      },
    },
    queue,
  });
  await conductor.enqueueGoals(['a', 'b', 'c', 'd', 'e']);
  const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 1, prefetch: 3 });
  manager.start();
  await until(() => manager.status().waiting === 3);
  const stopped = manager.stop({ drainMs: 500 });
  await clock.advance(500);
  await stopped;
  expect(runs).toBe(1);
  expect((await queue.stats()).counts).toMatchObject({ pending: 5, in_progress: 0 });
  await queue.close();
  expect(clock.timers).toBe(0);
});

test('closing the conductor ends its loops and refuses new work', async () => {
  const conductor = new Conductor({ agents: { quick: { invoke: async () => 'done' } } });
  const loop = conductor.processQueue();
  await conductor.close();
  expect(await loop).toEqual({ completed: 0, failed: 0, waiting: 0 });
  await expect(conductor.run('go')).rejects.toThrow('closed');
  await expect(conductor.answer('id', 'question', 1)).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a strategy that throws costs a delay, not the loop; a closed queue ends it', async () => {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock });
  let throws = 1;
  const strategy = (_task: unknown, scores: readonly { agent: string }[]) => {
    if (throws-- > 0) throw new Error('no idea');
    return scores[0]!.agent;
  };
  const quick = { invoke: async () => 'done' };
  const conductor = new Conductor({
    agents: { a: quick, b: quick },
    coordinator: new AgentCoordinator({ strategy }),
    queue,
  });
  const manager = new TaskQueueManager(conductor, queue);
  const errors: string[] = [];
  manager.on('error', (error) => errors.push(error.message));
  const id = await conductor.enqueueGoal('go');
  manager.start();
  await clock.advance(2_000);
  await until(async () => (await queue.getTask(id))?.status === 'completed');
  expect(errors).toEqual(['no idea']);
  await queue.close();
  await clock.advance(10_000);
  expect(await manager.done()).toMatchObject({ completed: 1 });
  expect(manager.status().state).toBe('stopped');
});

test('what is not a Conductor is refused by name, whatever else is given', () => {
  for (const wrong of [undefined, null, {}, 'a name'])
    expect(() => new TaskQueueManager(wrong as unknown as Conductor)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', path: 'conductor' }),
    );
});
