import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type AgentInput, Conductor, TaskQueueManager, Workflow } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { MemoryTaskStore } from '../../src/queue/backends/memory/memory-task-store.ts';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import { StoredTaskQueue } from '../../src/queue/stored-task-queue.ts';
import type { TaskQueue } from '../../src/queue/task-queue.ts';
import type { Change } from '../../src/queue/task-store.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { twoQuestions, until } from './graphs.ts';

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

function onMemory(clock = new FakeClock()) {
  const queue = new MemoryTaskQueue({ clock, random: () => 0.5 });
  cleanup.push(() => queue.close());
  return { clock, queue };
}

function conduct(queue: TaskQueue, ran: string[] = []) {
  const invoke = async ({ goal = '', results }: AgentInput) => {
    ran.push(goal);
    return goal === 'test' ? { coverage: 91 } : { goal, results: results ?? null };
  };
  const conductor = new Conductor({
    agents: {
      worker: { invoke, capabilities: ['work'] },
      asker: { graph: twoQuestions(), capabilities: ['ask'] },
    },
    queue,
  });
  cleanup.push(() => conductor.close());
  return conductor;
}

async function ids(conductor: Conductor): Promise<string[]> {
  return (await conductor.inbox()).entries.map(({ taskId }) => taskId);
}

/** A store that takes its time to write that somebody is asked. */
class SlowToAsk extends MemoryTaskStore {
  override async apply(changes: readonly Change[], now: number) {
    if (changes.some(({ next }) => next.status === 'waiting'))
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    return super.apply(changes, now);
  }
}

const pipeline = new Workflow('deploy')
  .add('test', { goal: 'test', agentType: 'work' })
  .add('gate', {
    approval: { question: 'Deploy to production?', timeoutMs: 60_000 },
    input: { target: 'production' },
    dependsOn: ['test'],
  })
  .add('deploy', { goal: 'deploy', agentType: 'work', dependsOn: ['gate'] })
  .add('notify', { goal: 'notify', agentType: 'work', dependsOn: [{ ref: 'gate', on: 'failure' }] });

describe('an approval in a workflow', () => {
  test('is no work left once it is asked: the loop that saw it before ends then, not with its next look', async () => {
    const store = new SlowToAsk();
    const queue = new StoredTaskQueue(store, { clock: new FakeClock() });
    cleanup.push(() => queue.close());
    const conductor = conduct(queue);
    await conductor.submit(pipeline);
    await conductor.processQueue({ untilEmpty: true });
    await queue.updateStatus((await ids(conductor))[0]!, 'waiting', { metadata: { target: 'staging' } });
    const stale = conductor.approve((await ids(conductor))[0]!, { by: 'ann' });
    await until(async () => (await ids(conductor)).length === 0);
    // It is being asked again. No time passes here: no later look can end this.
    await conductor.processQueue({ untilEmpty: true });
    expect(await ids(conductor)).toHaveLength(1);
    await expect(stale).rejects.toThrow('changed');
  });

  test('shows input and results, waits without a slot, and lets what depends on it run', async () => {
    const { queue } = onMemory();
    const ran: string[] = [];
    const conductor = conduct(queue, ran);
    const run = await conductor.submit(pipeline, {
      id: 'w',
      input: { version: '1.2' },
      metadata: { by: 'ci' },
    });
    await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
    expect((await run.status()).status).toBe('waiting');
    const [entry] = (await conductor.inbox()).entries;
    expect(entry).toMatchObject({
      kind: 'approval',
      taskId: 'w:gate',
      question: 'Deploy to production?',
      shown: {
        input: { version: '1.2', target: 'production' },
        metadata: { by: 'ci' },
        results: { test: { coverage: 91 } },
      },
      onTimeout: 'reject',
      workflow: { id: 'w', name: 'deploy', ref: 'gate' },
    });
    if (entry?.kind !== 'approval') throw new Error('no approval');
    await conductor.approve('w:gate', { by: 'ann', reason: 'green', hash: entry.hash });
    await conductor.processQueue({ untilEmpty: true });
    expect(ran).toEqual(['test', 'deploy']);
    expect(await run.results()).toMatchObject({
      gate: { approved: true, by: 'ann', reason: 'green' },
      deploy: { results: { gate: { approved: true } } },
    });
    expect((await conductor.inbox()).entries).toEqual([]);
    expect(await run.toMermaid()).toContain('{{"gate<br/>completed"}}');
  });

  test('rejected by default when nobody is in time; a retry asks again', async () => {
    const { clock, queue } = onMemory();
    const ran: string[] = [];
    const conductor = conduct(queue, ran);
    const run = await conductor.submit(pipeline, { id: 'w' });
    const manager = new TaskQueueManager(conductor, queue, { random: () => 0.5 });
    manager.start();
    const statusOf = async (ref: 'gate' | 'deploy' | 'notify') => (await run.status()).tasks[ref].status;
    await until(async () => (await statusOf('gate')) === 'waiting');
    await clock.advance(59_000);
    expect(await statusOf('gate')).toBe('waiting');
    await clock.advance(1_100);
    await until(async () => (await statusOf('notify')) === 'completed');
    expect((await run.status()).tasks.gate.error).toMatchObject({ code: 'REJECTED' });
    expect(await statusOf('deploy')).toBe('skipped');
    await run.retry();
    await until(async () => (await statusOf('gate')) === 'waiting');
    await conductor.approve('w:gate', { by: 'ann' });
    await until(async () => (await statusOf('deploy')) === 'completed');
    expect(ran).toEqual(['test', 'notify', 'deploy']);
    await manager.stop({ drainMs: 0 });
  });

  test('a stale hash is refused, and so is a decision on what has changed', async () => {
    const { queue } = onMemory();
    const conductor = conduct(queue);
    await conductor.submit(pipeline, { id: 'w' });
    await conductor.processQueue({ untilEmpty: true });
    const hashOf = async () => {
      const [entry] = (await conductor.inbox()).entries;
      return entry?.kind === 'approval' ? entry.hash : '';
    };
    const before = await hashOf();
    await queue.updateStatus('w:gate', 'waiting', { metadata: { note: 'the tests were skipped' } });
    await expect(conductor.approve('w:gate', { by: 'ann', hash: before })).rejects.toMatchObject({
      code: 'STALE_APPROVAL',
    });
    const after = await hashOf();
    expect(after).not.toBe(before);
    await expect(conductor.reject('w:gate', { by: 'ann', hash: before })).rejects.toMatchObject({
      code: 'STALE_APPROVAL',
    });
    expect((await conductor.reject('w:gate', { by: 'ann', hash: after })).status).toBe('failed');
  });

  test('is there after a restart, and decided by another process', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'jotty-approval-'));
    cleanup.push(() => rm(folder, { recursive: true }));
    const path = join(folder, 'tasks.db');
    const first = new SQLiteTaskQueue({ path });
    const conductor = conduct(first);
    await conductor.submit(pipeline, { id: 'w' });
    await conductor.processQueue({ untilEmpty: true });
    await conductor.close();
    await first.close();
    const second = new SQLiteTaskQueue({ path });
    cleanup.push(() => second.close());
    const other = conduct(second);
    const [entry] = (await other.inbox()).entries;
    expect(entry).toMatchObject({ kind: 'approval', taskId: 'w:gate' });
    await other.approve('w:gate', { by: 'ann' });
    await other.processQueue({ untilEmpty: true });
    expect((await (await other.workflow('w')).status()).status).toBe('completed');
    expect((await second.history('w:gate')).at(-1)?.reason).toBe('approved by ann');
  });

  test('one that a claim of a busy worker meets takes none of its slots', async () => {
    const { queue } = onMemory();
    const conductor = conduct(queue);
    for (let i = 0; i < 10; i++)
      await conductor.enqueueGoal('sure?', { id: `a${i}`, approval: { question: 'sure?' }, delayMs: 0 });
    await conductor.enqueueGoal('go', { id: 'work', agentType: 'work' });
    expect(await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 })).toMatchObject({
      completed: 1,
      failed: 0,
    });
    expect((await conductor.inbox()).entries).toHaveLength(10);
  });
});

describe('the inbox', () => {
  test('lists approvals and questions of graphs, oldest first, in pages', async () => {
    const { clock, queue } = onMemory();
    const conductor = conduct(queue);
    await conductor.enqueueGoal('late', { id: 'late', approval: { question: 'late?' }, delayMs: 5_000 });
    await conductor.enqueueGoal('who?', { id: 'graph', agentType: 'ask' });
    await conductor.processQueue({ maxTasks: 1 });
    await clock.advance(1_000);
    const approval = { question: 'early?', timeoutMs: 500_000, onTimeout: 'approve' } as const;
    await conductor.enqueueGoal('early', { id: 'early', approval, deadline: clock.now() + 400_000 });
    await clock.advance(5_000);
    const { entries, cursor } = await conductor.inbox();
    expect(entries.map(({ taskId, kind }) => [taskId, kind])).toEqual([
      ['graph', 'interrupt'],
      ['early', 'approval'],
      ['late', 'approval'],
    ]);
    expect(cursor).toBeUndefined();
    const [graph, early] = entries;
    expect(graph).toMatchObject({ value: 'name?', agent: 'asker', since: clock.now() - 6_000 });
    expect(early).toMatchObject({ since: clock.now() - 5_000, until: clock.now() + 395_000 });

    const seen: string[] = [];
    let next: string | undefined;
    do {
      const page = await conductor.inbox({ limit: 1, cursor: next });
      seen.push(...page.entries.map(({ taskId }) => taskId));
      next = page.cursor;
    } while (next !== undefined);
    expect(seen).toEqual(['graph', 'early', 'late']);
  });

  test('refuses limits and cursors that are none', async () => {
    const conductor = conduct(onMemory().queue);
    for (const options of [{ limit: 0 }, { limit: 1_001 }, { cursor: 'x' }, { cursor: '1|a' }])
      await expect(conductor.inbox(options)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
