import { describe, expect, test } from 'vitest';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { StoreCorruptError, StoreUnavailableError } from '../../src/errors.ts';
import { AgentCoordinator, Conductor, TaskQueueManager } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { deferred, threeSteps, until } from './graphs.ts';

const quick = { invoke: () => 'done' };

describe('the event loop', () => {
  test('turns while a queue in memory runs tasks that take no time: timers fire, a signal is heard', async () => {
    await using conductor = new Conductor({ agents: { quick } });
    const goals = Array.from({ length: 3_000 }, (_, i) => ({ goal: `goal ${i}` }));
    await conductor.enqueueGoals(goals.slice(0, 1_000));
    await conductor.enqueueGoals(goals.slice(1_000, 2_000));
    await conductor.enqueueGoals(goals.slice(2_000));
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), 1);
    const counts = await conductor.processQueue({ untilEmpty: true, signal: controller.signal });
    clearTimeout(timer);
    expect(controller.signal.aborted).toBe(true);
    expect(counts.completed).toBeLessThan(3_000);
  });
});

describe('tasks claimed ahead', () => {
  /** Short runs earn claims ahead; then the run of `slow` blocks the only slot. */
  async function bundle() {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const gate = deferred();
    const started: string[] = [];
    const agents = {
      mixed: {
        invoke: async ({ goal }: { goal?: string }) => {
          started.push(String(goal));
          if (goal === 'slow') await gate.promise;
        },
      },
    };
    const conductor = new Conductor({ agents, queue });
    const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 1 });
    const short = Array.from({ length: 20 }, (_, i) => `short ${i}`);
    const behind = Array.from({ length: 5 }, (_, i) => ({ goal: `behind ${i}`, id: `b${i}` }));
    await conductor.enqueueGoals([...short, 'slow', ...behind]);
    manager.start();
    await until(() => manager.status().waiting === 5);
    return { clock, queue, gate, started, conductor, manager };
  }

  test('are handed back as soon as a run before them becomes long, uncharged and nobody’s', async () => {
    const { clock, queue, gate, started, conductor, manager } = await bundle();
    await clock.advance(150);
    expect(manager.status()).toMatchObject({ waiting: 0, settling: 0 });
    const task = await queue.getTask('b0');
    expect(task).toMatchObject({ status: 'pending', retryCount: 0, crashes: 0 });
    expect(task).not.toHaveProperty('assignedAgent');
    expect((await queue.history('b0')).at(-1)).toMatchObject({
      to: 'pending',
      reason: 'handed back: runs became long',
    });
    expect(conductor.coordinator.load('mixed')).toBe(1);
    await clock.advance(10_000);
    expect(manager.status().waiting).toBe(0);
    gate.resolve();
    await until(async () => (await queue.stats()).counts.completed === 26);
    expect(started).toHaveLength(26);
    await manager.stop();
    await queue.close();
    expect(clock.timers).toBe(0);
  });

  test('another worker can take them at once', async () => {
    const { clock, queue, gate, manager } = await bundle();
    expect(await queue.dequeue()).toBeNull();
    await clock.advance(150);
    expect(await queue.dequeueMany(10)).toHaveLength(5);
    gate.resolve();
    await manager.stop();
    await queue.close();
  });
});

describe('a store that is away', () => {
  test('costs a task nothing where its checkpoints could not be written, and it waits longer each time', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const checkpointer = new FencedMemorySaver();
    const put = checkpointer.put.bind(checkpointer);
    let refusals = 0;
    checkpointer.put = () => {
      refusals += 1;
      return Promise.reject(new StoreUnavailableError('the disk is full'));
    };
    const log: string[] = [];
    const conductor = new Conductor({ agents: { steps: threeSteps(log).compile() }, queue, checkpointer });
    const id = await conductor.enqueueGoal('go', { maxRetries: 0 });
    const done = conductor.processQueue({ untilEmpty: true });
    await until(() => refusals > 0);
    await clock.advance(2_000);
    const first = refusals;
    expect(first).toBeGreaterThan(2);
    expect(first).toBeLessThan(12);
    checkpointer.put = put;
    await clock.advance(10_000);
    expect(await done).toEqual({ completed: 1, failed: 0, waiting: 0 });
    expect(await queue.getTask(id)).toMatchObject({ status: 'completed', retryCount: 0, crashes: 0 });
    await queue.close();
  });

  test("is an ordinary failure where it is the agent's own", async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    let runs = 0;
    const own = {
      invoke: () => {
        runs += 1;
        throw new StoreUnavailableError('my other database is away');
      },
    };
    const conductor = new Conductor({ agents: { own }, queue });
    const id = await conductor.enqueueGoal('go', { maxRetries: 2 });
    const done = conductor.processQueue({ untilEmpty: true });
    await clock.advance(60_000);
    expect(await done).toMatchObject({ failed: 1 });
    expect(runs).toBe(3);
    expect(await queue.getTask(id)).toMatchObject({ status: 'failed', error: { code: 'STORE_UNAVAILABLE' } });
    await queue.close();
  });

  test('when the loop is started leaves nothing held, and it may be started again', async () => {
    await using queue = new MemoryTaskQueue();
    const conductor = new Conductor({ agents: { quick }, queue });
    const on = queue.on.bind(queue);
    let listeners = 0;
    queue.on = (event, listener) => {
      if (event === 'leaseLost') throw new StoreUnavailableError('cannot be opened');
      listeners += 1;
      const off = on(event, listener);
      return () => {
        listeners -= 1;
        off();
      };
    };
    await expect(conductor.processQueue()).rejects.toThrow('cannot be opened');
    expect(listeners).toBe(0);
    const manager = new TaskQueueManager(conductor, queue, { untilEmpty: true });
    expect(() => manager.start()).toThrow('cannot be opened');
    queue.on = on;
    manager.start();
    expect(await manager.done()).toMatchObject({ failed: 0 });
  });
});

describe('processQueue', () => {
  test('tells its errors, and ends with one that no waiting mends', async () => {
    await using queue = new MemoryTaskQueue();
    const conductor = new Conductor({ agents: { quick }, queue });
    queue.dequeueMany = () => Promise.reject(new StoreCorruptError('the file is damaged'));
    const errors: string[] = [];
    const done = conductor.processQueue({ onError: (error) => errors.push(error.message) });
    await expect(done).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    expect(errors).toEqual(['the file is damaged']);
  });

  test('shows in the history why a strategy took no task, and lets it wait longer each time', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    let asked = 0;
    const strategy = () => {
      asked += 1;
      throw new Error('no idea');
    };
    const coordinator = new AgentCoordinator({ strategy });
    const conductor = new Conductor({ agents: { a: quick, b: quick }, coordinator, queue });
    const id = await conductor.enqueueGoal('go');
    const errors: Error[] = [];
    const stop = new AbortController();
    const done = conductor.processQueue({ signal: stop.signal, onError: (error) => errors.push(error) });
    await clock.advance(20_000);
    expect(asked).toBeGreaterThan(2);
    expect(asked).toBeLessThan(8);
    expect(errors).toHaveLength(asked);
    expect((await queue.history(id)).at(-1)?.reason).toBe('not assigned: no idea');
    expect(await queue.getTask(id)).toMatchObject({ status: 'pending', retryCount: 0, crashes: 0 });
    stop.abort();
    await done;
    await queue.close();
  });

  test('untilEmpty does not wait for what only an agent of somebody else can set going', async () => {
    await using conductor = new Conductor({ agents: { quick } });
    await conductor.enqueueGoals([
      { goal: 'elsewhere', id: 'theirs', agent: 'somebody-else' },
      { goal: 'after it', id: 'after', agent: 'quick', dependsOn: ['theirs'] },
      { goal: 'after both', agent: 'quick', dependsOn: ['after'] },
      { goal: 'now', agent: 'quick' },
    ]);
    expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ completed: 1 });
  });
});

test("an agent's own timeout holds from the first moment, not the queue's", async () => {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock, timeoutMs: 1_000 });
  const gate = deferred<string>();
  const patient = { invoke: () => gate.promise, timeoutMs: 60_000 };
  const conductor = new Conductor({ agents: { patient }, queue });
  const id = await conductor.enqueueGoal('go', { maxRetries: 0 });
  const done = conductor.processQueue({ untilEmpty: true });
  await until(async () => (await queue.getTask(id))?.assignedAgent === 'patient');
  await clock.advance(30_000);
  gate.resolve('done');
  expect(await done).toMatchObject({ completed: 1 });
  await queue.close();
});

test('an assignment that could not be recorded is tried again while the run lasts', async () => {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock });
  const gate = deferred<string>();
  const conductor = new Conductor({ agents: { slow: { invoke: () => gate.promise } }, queue });
  const assign = queue.assign.bind(queue);
  let refusals = 2;
  queue.assign = (...args) =>
    refusals-- > 0 ? Promise.reject(new StoreUnavailableError('away')) : assign(...args);
  const id = await conductor.enqueueGoal('go');
  const done = conductor.processQueue({ untilEmpty: true });
  await clock.advance(1_000);
  expect(await queue.getTask(id)).toMatchObject({ status: 'in_progress', assignedAgent: 'slow' });
  expect(refusals).toBe(-1);
  gate.resolve('done');
  expect(await done).toMatchObject({ completed: 1 });
  await queue.close();
});
