import { Annotation, END, Send, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, test } from 'vitest';
import {
  Conductor,
  completed,
  type DequeTask,
  enqueueChildren,
  pending,
  taken,
  taskDeque,
  waitForChildren,
} from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';

const State = Annotation.Root({
  goal: Annotation<string>(),
  tasks: taskDeque<{ readonly n: number }, string>(),
});

/** plan → next → (work, three at a time) → next … */
function worksOff(work: (task: DequeTask<{ readonly n: number }, string>) => string | Promise<string>) {
  return new StateGraph(State)
    .addNode('plan', () => ({
      tasks: {
        add: [
          'low',
          { goal: 'urgent', priority: 'critical' as const, input: { n: 1 } },
          { ref: 'mine', goal: 'high', priority: 8 },
          { ref: 'mine', goal: 'again' },
          'last',
        ],
      },
    }))
    .addNode('next', () => ({ tasks: { take: 2 } }))
    .addNode('work', async (task: DequeTask<{ readonly n: number }, string>) => ({
      tasks: { complete: { [task.ref]: await work(task) } },
    }))
    .addEdge(START, 'plan')
    .addEdge('plan', 'next')
    .addConditionalEdges('next', ({ tasks }) =>
      taken(tasks).length === 0 ? END : taken(tasks).map((task) => new Send('work', task)),
    )
    .addEdge('work', 'next')
    .compile();
}

describe('a deque of tasks', () => {
  test('is worked off in parallel, the most urgent first, and keeps the results', async () => {
    const log: string[] = [];
    const graph = worksOff(({ goal, input }) => {
      log.push(goal);
      return `${goal} ${input?.n ?? '-'}`;
    });
    await using conductor = new Conductor({ agents: { graph } });
    const { result } = (await conductor.run('go')) as unknown as { result: typeof State.State };
    expect(log).toEqual(['urgent', 'high', 'low', 'last']);
    expect(completed(result.tasks).map(({ ref, result: made }) => [ref, made])).toEqual([
      ['1', 'low -'],
      ['2', 'urgent 1'],
      ['mine', 'high -'],
      ['4', 'last -'],
    ]);
    expect(pending(result.tasks)).toEqual([]);
  });

  test('is checkpointed: what is done before a crash is not done again', async () => {
    const queue = new MemoryTaskQueue({ retry: { initialInterval: 0, jitter: false } });
    const log: string[] = [];
    let failures = 1;
    const graph = worksOff(({ goal }) => {
      if (goal === 'last' && failures-- > 0) throw new Error('no');
      log.push(goal);
      return goal;
    });
    await using conductor = new Conductor({ agents: { graph }, queue });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({ tasks: { length: 4 } });
    expect(log).toEqual(['urgent', 'high', 'low', 'last']);
    await queue.close();
  });

  test('refuses what cannot be', async () => {
    const write = (tasks: object) => {
      const graph = new StateGraph(State)
        .addNode('write', () => ({ tasks }))
        .addEdge(START, 'write')
        .addEdge('write', END)
        .compile();
      return graph.invoke({ goal: 'go' });
    };
    await expect(write({ complete: { nobody: 'x' } })).rejects.toMatchObject({ code: 'INVALID_TASK' });
    await expect(write({ add: [{ goal: 'x', priority: 11 }] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    await expect(write({ add: Array.from({ length: 10_001 }, () => 'x') })).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
    expect(await write({ add: ['a', 'b'], take: 1, release: ['1'], complete: { 2: 'r' } })).toMatchObject({
      tasks: [{ status: 'taken' }, { status: 'completed', result: 'r' }],
    });
  });

  test('moves into the queue in one line', async () => {
    const queue = new MemoryTaskQueue();
    const graph = new StateGraph(State)
      .addNode('plan', () => ({
        tasks: {
          add: [
            { goal: 'a', agent: 'part' },
            { goal: 'b', priority: 9, agentType: 'part' },
          ],
        },
      }))
      .addNode('move', async ({ tasks }, config) => {
        const ids = await enqueueChildren(config, pending(tasks));
        const ends = await waitForChildren(config, ids);
        const results = ends.map(({ result }, i) => [pending(tasks)[i]!.ref, String(result)]);
        return { tasks: { complete: Object.fromEntries(results) as Record<string, string> } };
      })
      .addEdge(START, 'plan')
      .addEdge('plan', 'move')
      .addEdge('move', END)
      .compile();
    const part = { invoke: ({ goal }: { goal?: string }) => `${goal} done`, capabilities: ['part'] };
    await using conductor = new Conductor({ agents: { part, graph }, queue });
    const id = await conductor.enqueueGoal('go', { agent: 'graph' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(id)).toMatchObject({
      tasks: [{ result: 'a done' }, { result: 'b done', priority: 9 }],
    });
    const { children = [] } = (await queue.getTask(id))!;
    expect(await queue.getTask(children[0]!)).toMatchObject({ payload: { goal: 'b' }, priority: 9 });
    await queue.close();
  });
});
