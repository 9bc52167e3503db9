import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, MemorySaver, START, StateGraph } from '@langchain/langgraph';
import { afterEach, describe, expect, test } from 'vitest';
import { Conductor, once } from '../../src/index.ts';
import { MemoryTaskQueue, type TaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { openQueue } from './events-stage.ts';
import { threeSteps, twoQuestions } from './graphs.ts';

const redis = sharedRedis();
const folder = mkdtempSync(join(tmpdir(), 'jotty-travel-'));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(backend: string): TaskQueue {
  if (backend === 'memory') return new MemoryTaskQueue();
  const prefix = redis.prefix();
  return openQueue(backend, backend === 'sqlite' ? join(folder, `${prefix}.db`) : redis.url, prefix);
}

/** Who ran, with what, in one state. */
function stage(queue: TaskQueue = new MemoryTaskQueue()) {
  const log: string[] = [];
  const conductor = new Conductor({ agents: { steps: threeSteps(log).compile() }, queue });
  return { log, queue, conductor };
}

async function finished(conductor: Conductor): Promise<string> {
  const id = await conductor.enqueueGoal('go', { metadata: { tenant: 'acme' }, priority: 8 });
  await conductor.processQueue({ untilEmpty: true });
  return id;
}

describe.each(['memory', 'sqlite', 'redis', 'hybrid'])('time travel on %s', (backend) => {
  test('goes back to a checkpoint in a new task, and the old one stays as it was', async () => {
    await using queue = open(backend);
    const { log, conductor } = stage(queue);
    const id = await finished(conductor);
    const before = [await conductor.checkpoints(id), await queue.getTask(id), await queue.history(id)];
    const all = await conductor.checkpoints(id);
    expect(all.map(({ next }) => next)).toEqual([[], ['third'], ['second'], ['first'], ['__start__']]);
    expect(all.map(({ step }) => step)).toEqual([3, 2, 1, 0, -1]);
    expect(all[1]).toMatchObject({ source: 'loop', agent: 'steps', values: { notes: ['first', 'second'] } });
    expect(all[1]!.parentId).toBe(all[2]!.id);
    log.length = 0;
    const copy = await conductor.rerun(id, { from: all[2]!.id, values: { notes: ['by hand'] } });
    expect(copy, 'a UUID of version 7').toMatch(/^.{8}-.{4}-7/);
    await conductor.processQueue({ untilEmpty: true });
    expect(log).toEqual(['second', 'third']);
    expect(await conductor.result(copy)).toMatchObject({
      goal: 'go',
      notes: ['first', 'by hand', 'second', 'third'],
    });
    expect(await queue.getTask(copy)).toMatchObject({
      priority: 8,
      agent: 'steps',
      metadata: { tenant: 'acme', rerunOf: { task: id, checkpoint: all[2]!.id } },
    });
    expect([await conductor.checkpoints(id), await queue.getTask(id), await queue.history(id)]).toEqual(
      before,
    );
  });
});

describe('time travel', () => {
  test('goes back to every checkpoint, and runs what came after it', async () => {
    const { log, conductor } = stage();
    const id = await finished(conductor);
    const runs: string[][] = [];
    for (const { id: from } of await conductor.checkpoints(id)) {
      log.length = 0;
      const copy = await conductor.rerun(id, { from });
      await conductor.processQueue({ untilEmpty: true });
      expect(await conductor.result(copy)).toEqual(await conductor.result(id));
      runs.push([...log]);
    }
    expect(runs).toEqual([
      [],
      ['third'],
      ['second', 'third'],
      ['first', 'second', 'third'],
      ['first', 'second', 'third'],
    ]);
  });

  test('changes the input, where that comes next', async () => {
    const { conductor } = stage();
    const id = await finished(conductor);
    const input = (await conductor.checkpoints(id)).at(-1)!;
    const copy = await conductor.rerun(id, { from: input.id, values: { goal: 'another' } });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(copy)).toMatchObject({
      goal: 'another',
      notes: ['first', 'second', 'third'],
    });
  });

  test('lists page by page', async () => {
    const { conductor } = stage();
    const id = await finished(conductor);
    const all = await conductor.checkpoints(id);
    const first = await conductor.checkpoints(id, { limit: 2 });
    const rest = await conductor.checkpoints(id, { before: first[1]!.id });
    expect([...first, ...rest]).toEqual(all);
    await expect(conductor.checkpoints(id, { limit: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const waiting = await conductor.enqueueGoal('later', { delayMs: 100_000 });
    expect(await conductor.checkpoints(waiting)).toEqual([]);
  });

  test('with an id is done once', async () => {
    const { log, conductor } = stage();
    const id = await finished(conductor);
    const from = (await conductor.checkpoints(id))[1]!.id;
    log.length = 0;
    for (let i = 0; i < 2; i++) {
      expect(await conductor.rerun(id, { from, id: 'again' })).toBe('again');
      await conductor.processQueue({ untilEmpty: true });
    }
    expect(log).toEqual(['third']);
  });

  test('goes on with another agent', async () => {
    const log: string[] = [];
    const third = () => ({ notes: ['by another'] });
    const agents = { steps: threeSteps(log).compile(), other: threeSteps(log, { third }).compile() };
    await using conductor = new Conductor({ agents });
    const id = await conductor.enqueueGoal('go', { agent: 'steps' });
    await conductor.processQueue({ untilEmpty: true });
    const from = (await conductor.checkpoints(id))[1]!.id;
    const copy = await conductor.rerun(id, { from, agent: 'other' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(copy)).toMatchObject({ notes: ['first', 'second', 'by another'] });
  });

  test('refuses what is not there, by a code', async () => {
    const clock = new FakeClock();
    await using queue = new MemoryTaskQueue({ clock, retentionMs: 1_000, sweepMs: 100 });
    const agents = { steps: threeSteps([]).compile(), plain: { invoke: async () => ({}) } };
    await using conductor = new Conductor({ agents, queue });
    const id = await conductor.enqueueGoal('go', { agent: 'steps' });
    const plain = await conductor.enqueueGoal('go', { agent: 'plain' });
    await conductor.processQueue({ untilEmpty: true });
    const from = (await conductor.checkpoints(id))[0]!.id;
    const refusal = (call: Promise<unknown>, code: string) => expect(call).rejects.toMatchObject({ code });
    await refusal(conductor.rerun(id, { from: 'nothing' }), 'CHECKPOINT_NOT_FOUND');
    await refusal(conductor.rerun(plain, { from }), 'CHECKPOINT_NOT_FOUND');
    await refusal(conductor.rerun(id, { from, agent: 'plain' }), 'NO_GRAPH');
    await refusal(conductor.rerun(id, { from, agent: 'nobody' }), 'NO_GRAPH');
    await refusal(conductor.rerun('nobody', { from }), 'TASK_NOT_FOUND');
    await conductor.run('go', { agent: 'steps', threadId: 'mine' });
    await refusal(conductor.rerun(id, { from, id: 'mine' }), 'THREAD_TAKEN');
    const elsewhere = new Conductor({
      agents: {} as never,
      queue,
      checkpointer: await conductor.checkpointer,
    });
    await refusal(elsewhere.checkpoints(id), 'NO_GRAPH');
    await clock.advance(5_000);
    await refusal(conductor.checkpoints(id), 'TASK_NOT_FOUND');
    await refusal(conductor.rerun(id, { from }), 'TASK_NOT_FOUND');
  });

  test('outlives the old task', async () => {
    const clock = new FakeClock();
    await using queue = new MemoryTaskQueue({ clock, retentionMs: 1_000, sweepMs: 100 });
    const { conductor } = stage(queue);
    const id = await finished(conductor);
    const copy = await conductor.rerun(id, { from: (await conductor.checkpoints(id))[1]!.id });
    await clock.advance(5_000);
    expect(await queue.getTask(id)).toBeNull();
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(copy)).toMatchObject({ notes: ['first', 'second', 'third'] });
  });

  test('asks again what was answered after the checkpoint', async () => {
    await using queue = new MemoryTaskQueue();
    await using conductor = new Conductor({ agents: { ask: twoQuestions() }, queue });
    const answer = async (id: string, value: string) => {
      await conductor.processQueue({ untilEmpty: true });
      const [question] = (await queue.getTask(id))?.interrupts ?? [];
      await conductor.answer(id, question!.id, value);
    };
    const id = await conductor.enqueueGoal('go');
    for (const value of ['Ada', 'blue']) await answer(id, value);
    await conductor.processQueue({ untilEmpty: true });
    const asking = (await conductor.checkpoints(id)).find(({ next }) => next[0] === 'ask')!;
    const copy = await conductor.rerun(id, { from: asking.id });
    for (const value of ['Bob', 'red']) await answer(copy, value);
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(copy)).toMatchObject({ answer: 'Bob likes red' });
    expect(await conductor.result(id)).toMatchObject({ answer: 'Ada likes blue' });
  });

  test('makes calls by `once` again, each task its own', async () => {
    let calls = 0;
    const State = Annotation.Root({ goal: Annotation<string>(), calls: Annotation<number>() });
    const pay = async (_state: unknown, config: object) => ({
      calls: await once(config as never, 'pay', async () => ++calls),
    });
    const graph = new StateGraph(State)
      .addNode('pay', pay)
      .addEdge(START, 'pay')
      .addEdge('pay', END)
      .compile();
    await using conductor = new Conductor({ agents: { graph } });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    const from = (await conductor.checkpoints(id)).find(({ next }) => next[0] === 'pay')!.id;
    const copy = await conductor.rerun(id, { from });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result(copy)).toMatchObject({ calls: 2 });
    expect(await conductor.result(id)).toMatchObject({ calls: 1 });
  });

  test("works with LangGraph's own saver", async () => {
    const log: string[] = [];
    const agents = { steps: threeSteps(log).compile() };
    await using conductor = new Conductor({ agents, checkpointer: new MemorySaver() });
    const id = await finished(conductor as unknown as Conductor);
    log.length = 0;
    const copy = await conductor.rerun(id, { from: (await conductor.checkpoints(id))[1]!.id });
    await conductor.processQueue({ untilEmpty: true });
    expect([log, (await conductor.queue.getTask(copy))!.status]).toEqual([['third'], 'completed']);
  });
});
