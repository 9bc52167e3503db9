import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, test } from 'vitest';
import { Conductor, enqueueChildren, type RunConfig, waitForChildren } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { deferred, until } from './graphs.ts';

const State = Annotation.Root({
  goal: Annotation<string>(),
  parts: Annotation<string[]>(),
  report: Annotation<string>(),
});

type Ends = Awaited<ReturnType<typeof waitForChildren>>;

/** plan → gather: gives a goal for each word and joins what comes back. */
function parent(log: string[], wait: (config: RunConfig, words: string[]) => Promise<Ends>) {
  return new StateGraph(State)
    .addNode('plan', () => ({ parts: ['one', 'two', 'bad'] }))
    .addNode('gather', async ({ parts }, config) => {
      log.push('gather');
      const ends = await wait(config as RunConfig, parts);
      log.push('gathered');
      return {
        report: ends.map(({ status, result }) => `${status}:${JSON.stringify(result ?? null)}`).join(' '),
      };
    })
    .addEdge(START, 'plan')
    .addEdge('plan', 'gather')
    .addEdge('gather', END)
    .compile();
}

const child = {
  graph: {
    invoke: ({ goal }: { goal?: string }) => {
      if (goal === 'bad') throw new Error('cannot');
      return goal?.toUpperCase();
    },
  },
  capabilities: ['part'],
};

async function spawnAndWait(config: RunConfig, words: readonly string[]): Promise<Ends> {
  const goals = words.map((goal) => ({ goal, agentType: 'part', maxRetries: 0 }));
  return waitForChildren(config, await enqueueChildren(config, goals));
}

describe('children', () => {
  test('a node enqueues tasks and waits for them without a slot', async () => {
    const queue = new MemoryTaskQueue();
    const log: string[] = [];
    const agents = { lead: parent(log, spawnAndWait), child };
    await using conductor = new Conductor({ agents, queue });
    const id = await conductor.enqueueGoal('report', {
      id: 'p',
      agent: 'lead',
      priority: 8,
      limits: [{ key: 'tenant:acme', max: 1 }],
      fairKey: 'acme',
    });
    // One slot, and one place under the limit: a parent that held either would wait for ever.
    const counts = await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
    expect(counts).toMatchObject({ completed: 3, failed: 1 });
    expect(await conductor.result(id)).toMatchObject({
      report: 'completed:"ONE" completed:"TWO" failed:null',
    });
    // Before an answer is sent, the run that sends it has to report the question itself.
    expect(log).toEqual(['gather', 'gather', 'gather', 'gathered']);
    const { children = [] } = (await queue.getTask(id))!;
    expect(children).toHaveLength(3);
    expect(await queue.getTask(children[0]!)).toMatchObject({
      priority: 8,
      limits: [{ key: 'tenant:acme', weight: 1 }],
      fairKey: 'acme',
      parent: { id: 'p', depth: 1 },
    });
    expect((await queue.history(id)).map(({ to, reason }) => reason ?? to)).toContain('waits for 3 tasks');
    await queue.close();
  });

  test('while it waits it is pending behind them, and explain says so', async () => {
    const queue = new MemoryTaskQueue();
    const gate = deferred();
    const agents = {
      lead: parent([], (config) => spawnAndWait(config, ['one'])),
      child: { ...child, graph: { invoke: () => gate.promise } },
    };
    await using conductor = new Conductor({ agents, queue });
    await conductor.enqueueGoal('report', { id: 'p', agent: 'lead' });
    const done = conductor.processQueue({ untilEmpty: true });
    await until(async () => (await queue.getTask('p'))?.blockedBy.length === 1);
    const task = (await queue.getTask('p'))!;
    expect(task).toMatchObject({ status: 'pending', children: task.blockedBy });
    expect(task).not.toHaveProperty('lease');
    expect((await conductor.explain('p')).blockers).toMatchObject([{ code: 'DEPENDENCY' }]);
    gate.resolve();
    await done;
    expect(await queue.getTask('p')).toMatchObject({ status: 'completed' });
    await queue.close();
  });

  test('a node that crashes after enqueuing gets the same children when it runs again', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock, retry: { initialInterval: 0, jitter: false } });
    let crashes = 2;
    const lead = parent([], async (config, words) => {
      const goals = words.slice(0, 2).map((goal) => ({ goal, agentType: 'part' }));
      const first = await enqueueChildren(config, goals);
      const second = await enqueueChildren(config, [{ goal: 'three', agentType: 'part' }]);
      if (crashes-- > 0) throw new Error('crash');
      return waitForChildren(config, [...first, ...second]);
    });
    await using conductor = new Conductor({ agents: { lead, child }, queue });
    await conductor.enqueueGoal('report', { id: 'p', agent: 'lead' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result('p')).toMatchObject({
      report: 'completed:"ONE" completed:"TWO" completed:"THREE"',
    });
    expect((await queue.stats()).counts.completed).toBe(4);
    await queue.close();
  });

  test('two waits in one run, the second after the first', async () => {
    const queue = new MemoryTaskQueue();
    const lead = parent([], async (config) => {
      const [first] = await spawnAndWait(config, ['one']);
      const second = await spawnAndWait(config, [`after ${String(first?.result)}`]);
      return [first!, ...second];
    });
    await using conductor = new Conductor({ agents: { lead, child }, queue });
    await conductor.enqueueGoal('report', { id: 'p', agent: 'lead' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result('p')).toMatchObject({
      report: 'completed:"ONE" completed:"AFTER ONE"',
    });
    await queue.close();
  });

  test('cancelling a parent cancels its children and theirs, wherever they are', async () => {
    const queue = new MemoryTaskQueue();
    const gate = deferred();
    const started: string[] = [];
    const aborted: string[] = [];
    const leaf = {
      invoke: async ({ goal }: { goal?: string }, { signal }: { signal: AbortSignal }) => {
        started.push(goal ?? '');
        signal.addEventListener('abort', () => aborted.push(goal ?? ''));
        await gate.promise;
      },
    };
    const nest = (agent: string) =>
      parent([], async (config, words) =>
        waitForChildren(
          config,
          await enqueueChildren(
            config,
            words.slice(0, 2).map((goal) => ({ goal, agent })),
          ),
        ),
      );
    const agents = { top: nest('middle'), middle: nest('leaf'), leaf };
    await using conductor = new Conductor({ agents, queue });
    await conductor.enqueueGoal('all', { id: 'p', agent: 'top' });
    const done = conductor.processQueue({ untilEmpty: true, maxConcurrent: 3 });
    await until(() => started.length === 3);
    await conductor.cancel('p', 'enough');
    gate.resolve();
    await done;
    expect((await queue.stats()).counts).toMatchObject({ cancelled: 7, pending: 0, in_progress: 0 });
    expect(aborted.length).toBeGreaterThanOrEqual(3);
    const [first] = (await queue.getTask('p'))!.children!;
    expect((await queue.history(first!)).at(-1)?.reason).toBe('its parent p was cancelled');
    await queue.close();
  });

  test('depth and fan-out are bounded, and only a run of the queue has children', async () => {
    const queue = new MemoryTaskQueue();
    const deep = {
      invoke: async (_: unknown, config: RunConfig) =>
        enqueueChildren(config, [{ goal: 'on', agent: 'deep', maxRetries: 0 }]),
    };
    const wide = {
      invoke: async (_: unknown, config: RunConfig) =>
        enqueueChildren(
          config,
          Array.from({ length: 1_001 }, (_, i) => ({ goal: `${i}`, agent: 'nobody' })),
        ),
    };
    await using conductor = new Conductor({ agents: { deep, wide }, queue });
    await conductor.enqueueGoals([
      { goal: 'down', agent: 'deep', id: 'deep' },
      { goal: 'out', agent: 'wide', id: 'wide', maxRetries: 0 },
    ]);
    await conductor.processQueue({ untilEmpty: true });
    expect((await queue.stats()).counts).toMatchObject({ completed: 10, failed: 2, pending: 0 });
    expect(await queue.getTask('wide')).toMatchObject({ error: { code: 'TOO_LARGE' } });
    await expect(conductor.run('x', { agent: 'deep' })).rejects.toMatchObject({ code: 'NO_QUEUE' });
    await expect(queue.enqueue({ payload: {}, parent: { id: 'p', depth: 1 } })).rejects.toMatchObject({
      code: 'INVALID_TASK',
    });
    await queue.close();
  });
});
