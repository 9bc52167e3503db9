import { Annotation, interrupt, START, StateGraph } from '@langchain/langgraph';
import { describe, expect, test } from 'vitest';
import { Conductor, TaskQueueManager } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

const State = Annotation.Root({
  goal: Annotation<string>,
  said: Annotation<string[]>({ reducer: (left, right) => [...left, ...right], default: () => [] }),
});

/** Each turn adds its goal to what was said; `before` may do harm first. */
function conversation(before: (goal: string) => void = () => {}) {
  return new StateGraph(State)
    .addNode('turn', ({ goal }) => {
      before(goal);
      return { said: [goal] };
    })
    .addEdge(START, 'turn')
    .compile();
}

const said = (conductor: Conductor, id: string) => conductor.result<{ said: string[] }>(id);

describe('tasks on one thread', () => {
  test('each goes on from what the one before has left', async () => {
    const queue = new MemoryTaskQueue();
    await using conductor = new Conductor({ agents: { talk: conversation() }, queue });
    const goals = Array.from({ length: 10 }, (_, n) => ({ goal: `${n}`, id: `t${n}`, threadId: 'talk-1' }));
    await conductor.enqueueGoals([...goals, { goal: 'alone', id: 'alone' }]);
    await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
    expect((await said(conductor, 't9')).said).toEqual(goals.map(({ goal }) => goal));
    expect((await said(conductor, 'alone')).said).toEqual(['alone']);
    await queue.close();
  });

  test('a task that is tried again takes up its own run, whether it had begun, had ended or neither', async () => {
    let harm = 3;
    let refusals = 1;
    const queue = new MemoryTaskQueue({ retry: { initialInterval: 1, jitter: false } });
    const graph = conversation((goal) => {
      if (goal === 'begun' && harm-- > 0) throw new Error('not yet');
    });
    const toResult = (state: { goal?: unknown; said?: unknown }) => {
      // The graph has ended, and the task has not.
      if (state.goal === 'ended' && refusals-- > 0) throw new Error('no result yet');
      return { said: state.said };
    };
    await using conductor = new Conductor({ agents: { talk: { graph, toResult } }, queue });
    for (const goal of ['first', 'begun', 'ended', 'last']) {
      await conductor.enqueueGoal(goal, { id: goal, threadId: 'talk-1' });
      await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
    }
    expect((await queue.getTask('begun'))?.retryCount).toBe(3);
    expect((await queue.getTask('ended'))?.retryCount).toBe(1);
    expect((await said(conductor, 'last')).said).toEqual(['first', 'begun', 'ended', 'last']);
    await queue.close();
  });

  test('what stands at a question is not built upon before it is answered, or given up', async () => {
    const clock = new FakeClock(1_000);
    const queue = new MemoryTaskQueue({ clock });
    const asking = new StateGraph(State)
      .addNode('turn', ({ goal }) => ({ said: [goal === 'ask' ? String(interrupt('who?')) : goal] }))
      .addEdge(START, 'turn')
      .compile();
    await using conductor = new Conductor({ agents: { talk: asking }, queue });
    const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 1 });
    await conductor.enqueueGoals(
      ['ask', 'next'].map((goal) => ({ goal, id: goal, threadId: 'talk-1', maxRetries: 0 })),
    );
    const released = new Promise<void>((resolve) => {
      queue.on('transition', ({ taskId, to, from }) => {
        if (taskId === 'next' && from === 'in_progress' && to === 'pending') resolve();
      });
    });
    manager.start();
    await released;
    const question = (await queue.getTask('ask'))!.interrupts![0]!;
    await conductor.answer('ask', question.id, 'Ada');
    await conductor.result('ask');
    await clock.advance(10_000);
    expect((await said(conductor, 'next')).said).toEqual(['Ada', 'next']);
    await manager.stop();
    await queue.close();
  });

  test('a thread id that is none is refused', async () => {
    await using conductor = new Conductor({ agents: { talk: conversation() } });
    await expect(conductor.enqueueGoal('go', { threadId: 'a b' })).rejects.toMatchObject({
      code: 'INVALID_TASK',
    });
  });
});
