import { describe, expect, test } from 'vitest';
import { RateLimitError } from '../../src/errors.ts';
import { Conductor, TaskQueueManager } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { backends } from './backends.ts';
import { deferred, threeSteps, until } from './graphs.ts';

const { open, place } = backends();

interface Call {
  configurable: { jotty: { taskId?: string; spend(key: string, weight: number): void } };
}

describe('limits', () => {
  test('hold over all workers of a queue, and are used in full', async () => {
    const queue = new MemoryTaskQueue();
    const running = { now: 0, most: 0 };
    const agent = {
      invoke: async () => {
        running.most = Math.max(running.most, ++running.now);
        await new Promise<void>((resolve) => setImmediate(resolve));
        running.now -= 1;
      },
    };
    const workers = [1, 2, 3].map(() => new Conductor({ agents: { agent }, queue }));
    const limits = [{ key: 'tenant:{metadata.tenant}', max: 4 }];
    const goals = Array.from({ length: 100 }, (_, i) => ({
      goal: `${i}`,
      limits,
      metadata: { tenant: 'acme' },
    }));
    await workers[0]!.enqueueGoals(goals);
    const counts = await Promise.all(
      workers.map((worker) => worker.processQueue({ untilEmpty: true, maxConcurrent: 3 })),
    );
    expect(counts.reduce((sum, { completed }) => sum + completed, 0)).toBe(100);
    expect(running.most).toBe(4);
    expect(await queue.limits()).toMatchObject([{ key: 'tenant:acme', used: 0, max: 4 }]);
    await Promise.all(workers.map((worker) => worker.close()));
    await queue.close();
  });

  test('a node that is told to slow down parks its key: no attempt is spent, no call is made in the window', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const calls: { at: number; goal: string }[] = [];
    let isOpen = false;
    const graph = threeSteps([], {
      second: ({ goal }) => {
        calls.push({ at: clock.now(), goal });
        if (!isOpen && goal !== 'other')
          throw new RateLimitError('slow down', { retryAfterMs: 10_000, key: 'model:x' });
      },
    }).compile();
    const conductor = new Conductor({ agents: { graph }, queue });
    const limits = [{ key: 'model:x' }, { key: 'tenant:acme' }];
    const ids = await conductor.enqueueGoals([
      ...[1, 2, 3].map((n) => ({ goal: `goal ${n}`, id: `g${n}`, limits })),
      { goal: 'other', id: 'other', limits: [{ key: 'tenant:acme' }] },
    ]);
    const start = clock.now();
    const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 1 });
    manager.start();
    await until(async () => (await queue.getTask('other'))?.status === 'completed');
    expect(calls.map(({ goal }) => goal)).toEqual(['goal 1', 'other']);
    const [state] = await queue.limits(['model:x']);
    expect(state?.closedUntil).toBe(start + 10_000);
    isOpen = true;
    await clock.advance(9_000);
    expect(calls).toHaveLength(2);
    await clock.advance(1_100);
    await until(async () => (await queue.stats()).counts.completed === 4);
    expect(calls.slice(2).map(({ goal }) => goal)).toEqual(['goal 1', 'goal 2', 'goal 3']);
    expect(calls[2]!.at).toBeGreaterThanOrEqual(start + 10_000);
    for (const id of ids) expect(await queue.getTask(id)).toMatchObject({ retryCount: 0, crashes: 0 });
    await manager.stop();
    await conductor.close();
    await queue.close();
    expect(clock.timers).toBe(0);
  });

  test('tasks claimed ahead go back when one of them is told to slow down', async () => {
    const clock = new FakeClock();
    const queue = new MemoryTaskQueue({ clock });
    const calls: string[] = [];
    const agent = {
      invoke: async ({ goal }: { goal?: string }) => {
        calls.push(String(goal));
        if (goal === 'refused') throw Object.assign(new Error('429'), { status: 429 });
      },
    };
    const conductor = new Conductor({ agents: { agent }, queue });
    const limits = [{ key: 'model:x' }];
    const goals = ['refused', 'a', 'b', 'c'].map((goal) => ({ goal, id: goal, limits }));
    await conductor.enqueueGoals(goals);
    const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 1, prefetch: 10 });
    manager.start();
    await until(async () => (await queue.stats()).counts.pending === 4);
    expect(calls).toEqual(['refused']);
    expect(await queue.limits()).toMatchObject([{ key: 'model:x', used: 0 }]);
    await manager.stop();
    await conductor.close();
    await queue.close();
  });

  test.each(['memory', 'sqlite', 'redis', 'hybrid'] as const)(
    'no claim overtakes a refusal on its way to the store (%s)',
    async (backend) => {
      const clock = new FakeClock();
      const queue = open(backend, place(), { clock });
      const calls: string[] = [];
      const agent = {
        invoke: async ({ goal }: { goal?: string }) => {
          calls.push(String(goal));
          if (goal === 'refused') throw new RateLimitError('slow down', { retryAfterMs: 60_000 });
        },
      };
      const conductor = new Conductor({ agents: { agent }, queue });
      const limited = (goal: string) => ({ goal, id: goal, limits: [{ key: 'model:x', max: 5 }] });
      await conductor.enqueueGoals([limited('refused'), limited('a'), limited('b'), { goal: 'other' }]);
      const manager = new TaskQueueManager(conductor, queue, { maxConcurrent: 1, prefetch: 0 });
      manager.start();
      await until(async () => (await queue.stats()).counts.completed === 1);
      expect(calls).toEqual(['refused', 'other']);
      for (const id of ['refused', 'a', 'b']) {
        expect(await queue.getTask(id)).toMatchObject({ status: 'pending', attempt: 1 });
        expect(await queue.explain(id)).toMatchObject({ blockers: [{ code: 'KEY_CLOSED', key: 'model:x' }] });
      }
      await manager.stop();
      await conductor.close();
      await queue.close();
    },
  );

  test('a run says what it spent, and that counts in place of what was reserved', async () => {
    const queue = new MemoryTaskQueue();
    const gate = deferred();
    const agent = {
      invoke: async (_: unknown, { configurable: { jotty } }: Call) => {
        jotty.spend('tokens', 5);
        jotty.spend('tokens', 2);
        if (jotty.taskId === 'second') await gate.promise;
      },
    };
    await using conductor = new Conductor({ agents: { agent }, queue });
    const limits = [{ key: 'tokens', rate: { max: 100, perMs: 3_600_000 }, weight: 90 }];
    await conductor.enqueueGoals(['first', 'second'].map((id) => ({ goal: id, id, limits })));
    const done = conductor.processQueue({ untilEmpty: true });
    await until(async () => (await queue.limits())[0]?.spent === 97);
    gate.resolve();
    await done;
    expect(await queue.limits()).toMatchObject([{ key: 'tokens', used: 0, spent: 14 }]);
    await queue.close();
  });

  test('a paused agent or type starts nothing here or elsewhere, and goes on when it is resumed', async () => {
    const queue = new MemoryTaskQueue();
    const agent = { invoke: () => 'done' };
    await using conductor = new Conductor({
      agents: { agent: { graph: agent, capabilities: ['x', 'y'] } },
      queue,
    });
    await queue.pause({ agentType: 'x' });
    await conductor.enqueueGoals([
      { goal: '1', id: 'x', agentType: 'x' },
      { goal: '2', id: 'y', agentType: 'y' },
    ]);
    const done = conductor.processQueue({ untilEmpty: true });
    await until(async () => (await queue.getTask('y'))?.status === 'completed');
    expect((await conductor.explain('x')).blockers).toMatchObject([{ code: 'TYPE_PAUSED', key: 'x' }]);
    await queue.resume({ agentType: 'x' });
    await done;
    expect(await queue.getTask('x')).toMatchObject({ status: 'completed' });
    await queue.close();
  });

  test.each(['memory', 'sqlite', 'redis', 'hybrid'] as const)(
    'explain says on %s that no live agent can do it',
    async (backend) => {
      const queue = open(backend, place());
      await using conductor = new Conductor({ agents: { agent: { invoke: () => 'done' } }, queue });
      const stop = new AbortController();
      const done = conductor.processQueue({ signal: stop.signal });
      await until(async () => (await conductor.workers()).length === 1);
      await conductor.enqueueGoal('see', { id: 'a', agentType: 'vision' });
      const { blockers } = await conductor.explain('a');
      expect(blockers).toMatchObject([{ code: 'NO_AGENT', key: 'vision' }]);
      stop.abort();
      await done;
      await queue.close();
    },
  );
});
