import { FakeListChatModel } from '@langchain/core/utils/testing';
import { END, type LangGraphRunnableConfig, START, StateGraph } from '@langchain/langgraph';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type AgentDefinition, Conductor, TaskQueueManager, Workflow } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { deferred, State, until } from './graphs.ts';

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

function bundle(agents: Record<string, AgentDefinition>, maxConcurrent = 3) {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock, random: () => 0.5, leaseMs: 3_600_000 });
  const conductor = new Conductor({ agents, queue });
  const manager = new TaskQueueManager(conductor, queue, { maxConcurrent, random: () => 0.5 });
  cleanup.push(async () => {
    await manager.stop({ drainMs: 0 });
    await conductor.close();
    await queue.close();
  });
  const status = async (id: string) => (await queue.getTask(id))?.status;
  const runs = async () => manager.status().running.length;
  return { clock, queue, conductor, manager, status, runs };
}

type Step = (config: LangGraphRunnableConfig) => Promise<void>;

/** One node. */
function oneStep(step: Step) {
  return new StateGraph(State)
    .addNode('step', async (_: typeof State.State, config: LangGraphRunnableConfig) => {
      await step(config);
      return { answer: 'done' };
    })
    .addEdge(START, 'step')
    .addEdge('step', END)
    .compile();
}

// What a first run loads takes longer than a test waits on a busy machine.
beforeAll(async () => {
  await using conductor = new Conductor({ agents: { steps: { graph: oneStep(async () => {}) } } });
  await conductor.run('load');
});

const never = () => new Promise<void>(() => {});

describe('idleTimeoutMs', () => {
  test('ends a run that shows no sign of life, and it is tried again', async () => {
    let tries = 0;
    const graph = oneStep(async () => {
      tries += 1;
      if (tries === 1) await never();
    });
    const { clock, queue, conductor, manager, status, runs } = bundle({ steps: { graph } });
    const id = await conductor.enqueueGoal('go', { idleTimeoutMs: 1_000 });
    manager.start();
    await until(async () => (await runs()) === 1 && tries === 1);
    await clock.advance(900);
    expect(await status(id)).toBe('in_progress');
    await clock.advance(200);
    await until(async () => (await status(id)) === 'retrying');
    expect((await queue.getTask(id))?.error).toMatchObject({ code: 'IDLE_TIMEOUT' });
    expect((await queue.getTask(id))?.retryCount).toBe(1);
    await clock.advance(2_000);
    await until(async () => (await status(id)) === 'completed');
    expect(tries).toBe(2);
  });

  test('what a node writes, its end, and progress noted by others are signs of life', async () => {
    const gates = [deferred(), deferred(), deferred()];
    const graph = oneStep(async (config) => {
      for (const gate of gates) {
        await gate.promise;
        config.writer?.('still here');
      }
      await never();
    });
    const { clock, queue, conductor, manager, status, runs } = bundle({ steps: { graph } });
    const id = await conductor.enqueueGoal('go', { idleTimeoutMs: 1_000, maxRetries: 0 });
    manager.start();
    await until(async () => (await runs()) === 1);
    for (const gate of gates) {
      await clock.advance(800);
      gate.resolve();
      await clock.settle();
    }
    await clock.advance(800);
    await queue.updateStatus(id, 'in_progress', { progress: 0.5 });
    await clock.advance(900);
    expect(await status(id)).toBe('in_progress');
    await clock.advance(200);
    await until(async () => (await status(id)) === 'failed');
    expect((await queue.getTask(id))?.error).toMatchObject({ code: 'IDLE_TIMEOUT' });
  });

  test('each token of a model is one', async () => {
    const clocks: FakeClock[] = [];
    const model = new FakeListChatModel({ responses: ['a b c d'], sleep: 0 });
    const stream = model._streamResponseChunks.bind(model);
    model._streamResponseChunks = async function* (...args) {
      for await (const chunk of stream(...args)) {
        await clocks[0]?.advance(600);
        yield chunk;
      }
    };
    const generate = model._generate.bind(model);
    model._generate = async (...args) => {
      await clocks[0]?.advance(5_000);
      return generate(...args);
    };
    const graph = oneStep(async (config) => {
      await model.invoke('hi', config);
    });
    const { clock, conductor, manager, status } = bundle({ steps: { graph } });
    clocks.push(clock);
    const id = await conductor.enqueueGoal('go', { idleTimeoutMs: 1_000, maxRetries: 0 });
    manager.start();
    await until(async () => ['completed', 'failed'].includes((await status(id)) ?? ''));
    expect(await status(id)).toBe('completed');
  });
});

describe('a deadline', () => {
  test('aborts what runs, and its retries are not tried', async () => {
    let signal: AbortSignal | undefined;
    const graph = oneStep(async (config) => {
      signal = config.signal;
      await never();
    });
    const { clock, queue, conductor, manager, status, runs } = bundle({ steps: { graph } });
    const id = await conductor.enqueueGoal('go', { deadline: clock.now() + 1_000 });
    manager.start();
    await until(async () => (await runs()) === 1 && signal !== undefined);
    await clock.advance(1_000);
    await until(async () => (await status(id)) === 'failed');
    expect((await queue.getTask(id))?.error).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(signal?.aborted).toBe(true);
    expect((await queue.history(id)).filter(({ to }) => to === 'failed')).toHaveLength(1);
  });

  test('of a workflow holds for all its tasks, also for a manager that comes too late', async () => {
    const ran: string[] = [];
    const invoke = async ({ goal = '' }) => {
      ran.push(goal);
      if (goal === 'slow') await never();
      return goal;
    };
    const { clock, conductor, manager } = bundle({ worker: { graph: { invoke } } });
    const workflow = new Workflow('late')
      .add('quick', { goal: 'quick' })
      .add('slow', { goal: 'slow', dependsOn: ['quick'] })
      .add('own', { goal: 'own', deadline: clock.now() + 200, delayMs: 300 })
      .add('after', { goal: 'after', dependsOn: ['slow'] })
      .add('cleanup', { goal: 'cleanup', dependsOn: [{ ref: 'slow', on: 'completion' }], delayMs: 5_000 });
    const run = await conductor.submit(workflow, { deadline: clock.now() + 1_000 });
    manager.start();
    await until(() => ran.includes('slow'));
    await clock.advance(500);
    expect((await run.status()).tasks.own.error).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await clock.advance(600);
    await until(async () => (await run.status()).status === 'failed');
    const { tasks } = await run.status();
    expect(tasks.quick.status).toBe('completed');
    expect(tasks.slow.error).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(['skipped', 'failed']).toContain(tasks.after.status);
    expect(tasks.cleanup.error).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(ran).toEqual(['quick', 'slow']);
    await expect(run.retry()).rejects.toMatchObject({ code: 'INVALID_TRANSITION' });
  });
});

test('what waits for a slot expires, what runs does not', async () => {
  const gate = deferred();
  const graph = oneStep(() => gate.promise);
  const { clock, queue, conductor, manager, status, runs } = bundle({ steps: { graph } }, 1);
  const first = await conductor.enqueueGoal('first', { expiresInMs: 1_000 });
  const second = await conductor.enqueueGoal('second', { expiresInMs: 1_000 });
  manager.start();
  await until(async () => (await runs()) === 1);
  await clock.advance(1_500);
  expect(await status(first)).toBe('in_progress');
  expect((await queue.getTask(second))?.error).toMatchObject({ code: 'EXPIRED' });
  gate.resolve();
  await until(async () => (await status(first)) === 'completed');
});
