import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AIMessage, ToolMessage } from '@langchain/core/messages';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type AgentSource,
  type AttemptInfo,
  Conductor,
  enqueueChildren,
  type RunConfig,
  TaskQueueManager,
} from '../../src/index.ts';
import { MemoryTaskQueue, SQLiteTaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { CountingModel } from './counting-model.ts';
import { deferred, threeSteps, twoQuestions, until } from './graphs.ts';

const infoOf = (config: RunConfig) => config.configurable?.jotty as AttemptInfo;
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** A conductor on a queue in memory with a fake clock, and its running manager. */
function bundle(agents: Record<string, AgentSource>, options: { readonly maxConcurrent?: number } = {}) {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock });
  const conductor = new Conductor({ agents, queue });
  const manager = new TaskQueueManager(conductor, queue, options);
  manager.start();
  endings.push(async () => {
    await manager.stop({ drainMs: 0 });
    await queue.close();
  });
  return { clock, queue, conductor, manager };
}

describe('cancel resolves when the run has stopped', () => {
  test('after what its node does on its signal, and no checkpoint comes after that', async () => {
    const [started, signalled, gate] = [deferred(), deferred(), deferred()];
    const log: string[] = [];
    const graph = threeSteps(log, {
      second: async (_, config) => {
        infoOf(config).signal.addEventListener('abort', () => signalled.resolve());
        started.resolve();
        await gate.promise;
        log.push('cleaned up');
      },
    }).compile();
    const { conductor, queue, manager } = bundle({ steps: graph });
    const id = await conductor.enqueueGoal('go');
    await started.promise;
    let isOver = false;
    const receipt = conductor.cancel(id, { reason: 'not needed' }).finally(() => {
      isOver = true;
    });
    await signalled.promise;
    expect((await queue.getTask(id))?.status).toBe('cancelled');
    await new Promise((resolve) => setImmediate(resolve));
    expect([isOver, manager.status().running.length]).toEqual([false, 1]);
    gate.resolve();
    const { checkpointId, ...rest } = await receipt;
    expect(rest).toEqual({
      id,
      status: 'cancelled',
      reason: 'not needed',
      run: 'ended',
      worker: queue.owner,
      toolCalls: [],
      children: [],
    });
    expect(log).toEqual(['first', 'second', 'cleaned up']);
    const saver = await conductor.checkpointer;
    const saved = await saver.getTuple({ configurable: { thread_id: id } });
    expect(saved?.checkpoint.id).toBe(checkpointId);
    expect(manager.status().running).toEqual([]);
  });

  test('after the grace where it ignores its signal; its slot is free then and not before', async () => {
    const [started, gate, next] = [deferred(), deferred(), deferred()];
    const deaf = threeSteps([], {
      first: () => {
        started.resolve();
        return gate.promise;
      },
    }).compile();
    const quick = { invoke: async () => next.resolve() };
    const { clock, conductor, queue } = bundle({ deaf, quick }, { maxConcurrent: 1 });
    const id = await conductor.enqueueGoal('go', { agent: 'deaf' });
    await started.promise;
    const other = await conductor.enqueueGoal('go', { agent: 'quick' });
    const receipt = conductor.cancel(id, { graceMs: 700 });
    await until(async () => (await queue.getTask(id))?.status === 'cancelled');
    await clock.advance(699);
    expect((await queue.getTask(other))?.status).toBe('pending');
    await clock.advance(1);
    await next.promise;
    expect(await receipt).toMatchObject({ status: 'cancelled', run: 'abandoned' });
    const before = await (await conductor.checkpointer).getTuple({ configurable: { thread_id: id } });
    gate.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(await (await conductor.checkpointer).getTuple({ configurable: { thread_id: id } })).toEqual(
      before,
    );
  });

  test('at once where it has not begun, waits for a person, or has ended', async () => {
    const { conductor, queue } = bundle({ ask: twoQuestions(), quick: { invoke: () => 1 } });
    const late = await conductor.enqueueGoal('go', { agent: 'quick', delayMs: 1_000 });
    expect(await conductor.cancel(late)).toMatchObject({ status: 'cancelled', run: 'none' });
    const asking = await conductor.enqueueGoal('go', { agent: 'ask' });
    await until(async () => (await queue.getTask(asking))?.status === 'waiting');
    const receipt = await conductor.cancel(asking);
    expect(receipt).toMatchObject({ status: 'cancelled', run: 'none' });
    expect(receipt.checkpointId).toBeTypeOf('string');
    const done = await conductor.enqueueGoal('go', { agent: 'quick' });
    await conductor.result(done);
    expect(await conductor.cancel(done)).toMatchObject({ status: 'completed', run: 'none' });
    await expect(conductor.cancel('nobody')).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
    await expect(conductor.cancel(done, { graceMs: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  test('with all below it, each with a receipt of its own', async () => {
    const started: string[] = [];
    const child = {
      invoke: (_: unknown, { signal }: { signal: AbortSignal }) => {
        started.push('child');
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    };
    const lead = {
      invoke: async (_: unknown, config: RunConfig) => {
        await enqueueChildren(config, [
          { goal: 'one', id: 'one', agent: 'child' },
          { goal: 'two', id: 'two', agent: 'child', delayMs: 9_000 },
        ]);
        await new Promise((resolve) => infoOf(config).signal.addEventListener('abort', resolve));
        // Too late: nothing of this is stored.
        await enqueueChildren(config, [{ goal: 'three', id: 'three', agent: 'child' }]);
      },
    };
    const { conductor, queue } = bundle({ lead, child });
    await conductor.enqueueGoal('go', { id: 'p', agent: 'lead' });
    await until(() => started.length === 1);
    const receipt = await conductor.cancel('p');
    expect(receipt).toMatchObject({ status: 'cancelled', run: 'ended' });
    expect(receipt.children.map(({ id, status, run }) => [id, status, run])).toEqual([
      ['one', 'cancelled', 'ended'],
      ['two', 'cancelled', 'none'],
    ]);
    expect(await queue.getTask('three')).toBeNull();
  });

  test('with the calls that models have made, and what they cost', async () => {
    const started = deferred();
    const usage_metadata = { input_tokens: 10, output_tokens: 5, total_tokens: 15 };
    const model = (id: string, call: string) =>
      new AIMessage({
        id,
        content: '',
        tool_calls: [{ id: call, name: 'search', args: {} }],
        usage_metadata,
      } as never);
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('model', () => ({
        messages: [
          model('m1', 'c1'),
          new ToolMessage({ id: 'm2', content: 'found', tool_call_id: 'c1' }),
          model('m3', 'c2'),
        ],
      }))
      .addNode('tools', (_, config) => {
        started.resolve();
        return new Promise<object>((resolve) => config.signal?.addEventListener('abort', () => resolve({})));
      })
      .addEdge(START, 'model')
      .addEdge('model', 'tools')
      .addEdge('tools', END)
      .compile();
    const { conductor } = bundle({ graph });
    const id = await conductor.enqueueGoal('go');
    await started.promise;
    expect(await conductor.cancel(id)).toMatchObject({
      run: 'ended',
      toolCalls: [
        { id: 'c1', name: 'search', answered: true },
        { id: 'c2', name: 'search', answered: false },
      ],
      tokens: { input: 20, output: 10, total: 30 },
    });
  });

  test('with all that models were counted for, though no message of it is left', async () => {
    const started = deferred();
    const model = new CountingModel({ tokens: (call) => 10 * (call + 1) });
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('model', async () => {
        await model.invoke('not kept');
        return { messages: [await model.invoke('kept')] };
      })
      .addNode('under way', async (_, config) => {
        await model.invoke('not stored');
        started.resolve();
        return new Promise<object>((resolve) => config.signal?.addEventListener('abort', () => resolve({})));
      })
      .addEdge(START, 'model')
      .addEdge('model', 'under way')
      .addEdge('under way', END)
      .compile();
    const { conductor } = bundle({ graph });
    const id = await conductor.enqueueGoal('go');
    await started.promise;
    const { tokens } = await conductor.cancel(id);
    expect(tokens).toEqual({ input: 57, output: 3, total: 60 });
    expect(await conductor.usage({ taskId: id })).toMatchObject({ tokens: 60, modelCalls: 3 });
  });
});

describe('from another process', () => {
  /** Two queues on one file: who cancels knows nothing of the runs. */
  function apart(agents: Record<string, AgentSource>) {
    const folder = mkdtempSync(join(tmpdir(), 'jotty-cancel-'));
    const path = join(folder, 'tasks.db');
    const here = new SQLiteTaskQueue({ path });
    const there = new SQLiteTaskQueue({ path });
    const worker = new Conductor({ agents, queue: there });
    const manager = new TaskQueueManager(worker, there);
    endings.push(async () => {
      await manager.stop({ drainMs: 0 });
      await Promise.all([here.close(), there.close()]);
      rmSync(folder, { recursive: true });
    });
    return { manager, there, worker, conductor: new Conductor({ agents: {}, queue: here }), path };
  }

  test('the run is waited for, and its late checkpoint refused', async () => {
    const [started, gate] = [deferred(), deferred()];
    const refused = deferred<unknown>();
    const graph = threeSteps([], {
      second: async (_, config) => {
        started.resolve();
        await new Promise((resolve) => infoOf(config).signal.addEventListener('abort', resolve));
        await gate.promise;
      },
    }).compile();
    const { conductor, worker, manager } = apart({ steps: graph });
    manager.start();
    const id = await worker.enqueueGoal('go');
    await started.promise;
    const receipt = conductor.cancel(id, { graceMs: 30_000 });
    await until(async () => (await worker.queue.getTask(id))?.status === 'cancelled');
    gate.resolve();
    expect(await receipt).toMatchObject({ status: 'cancelled', run: 'ended' });
    const saver = (await worker.checkpointer) as { put: (...args: unknown[]) => Promise<unknown> } & Awaited<
      typeof worker.checkpointer
    >;
    const saved = await saver.getTuple({ configurable: { thread_id: id } });
    const config = { configurable: { thread_id: id, checkpoint_ns: '', jotty_fence: 1 } };
    saver.put(config, saved!.checkpoint, saved!.metadata, {}).catch(refused.resolve);
    expect(await refused.promise).toMatchObject({ code: 'LEASE_LOST' });
  });

  test('children that run there are waited for too', async () => {
    const leaf = {
      invoke: (_: unknown, { signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    };
    const lead = {
      invoke: async (_: unknown, config: RunConfig) => {
        await enqueueChildren(config, [{ goal: 'one', id: 'one', agent: 'leaf' }]);
      },
    };
    const { conductor, worker, manager, there } = apart({ lead, leaf });
    manager.start();
    await worker.enqueueGoal('go', { id: 'p', agent: 'lead' });
    await until(async () => (await there.getTask('one'))?.status === 'in_progress');
    // The parent has completed: what is below it goes on, and is cancelled for itself.
    await until(async () => (await there.getTask('p'))?.status === 'completed');
    expect(await conductor.cancel('one')).toMatchObject({ status: 'cancelled', run: 'ended' });
  });

  test('where nobody is left to say, the end of the lease ends the wait', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock, leaseMs: 10_000 });
    endings.push(() => queue.close());
    const conductor = new Conductor({ agents: {}, queue });
    await queue.enqueue({ id: 'a', payload: {} });
    await queue.dequeue({}, { start: true });
    let isOver = false;
    const receipt = conductor.cancel('a').finally(() => {
      isOver = true;
    });
    await until(async () => (await queue.getTask('a'))?.status === 'cancelled');
    await clock.advance(9_000);
    expect(isOver).toBe(false);
    await clock.advance(1_100);
    expect(await receipt).toMatchObject({ status: 'cancelled', run: 'lost' });
    expect(await conductor.cancel('a')).toMatchObject({ status: 'cancelled', run: 'lost' });
  });
});
