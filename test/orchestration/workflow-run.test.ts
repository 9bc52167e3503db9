import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { afterEach, describe, expect, test } from 'vitest';
import { type AgentInput, type AttemptInfo, Conductor, type TaskQueue, Workflow } from '../../src/index.ts';
import { HybridTaskQueue } from '../../src/queue/backends/hybrid/hybrid-task-queue.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/backends/sqlite/sqlite-task-queue.ts';
import type { TaskQueueOptions } from '../../src/queue/task-queue.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { until } from './graphs.ts';

const redis = sharedRedis();
const cleanup: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

const OPTIONS = {
  retry: { initialInterval: 1, maxInterval: 1, jitter: false },
  conditions: { good: (result: unknown) => result === 'good' },
};

/** Opens queues on one storage: the first for whoever submits, others as other processes have them. */
type Storage = () => TaskQueue;

const BACKENDS: Readonly<Record<string, (more?: TaskQueueOptions) => Promise<Storage>>> = {
  memory: async (more) => {
    const queue = new MemoryTaskQueue({ ...OPTIONS, ...more });
    cleanup.push(() => queue.close());
    return () => queue;
  },
  SQLite: async (more) => {
    const folder = await mkdtemp(join(tmpdir(), 'jotty-workflow-'));
    cleanup.push(() => rm(folder, { recursive: true }));
    return () => kept(new SQLiteTaskQueue({ path: join(folder, 'tasks.db'), ...OPTIONS, ...more }));
  },
  Redis: async (more) => {
    const prefix = redis.prefix();
    return () => kept(new RedisTaskQueue({ url: redis.url, prefix, ...OPTIONS, ...more }));
  },
  hybrid: async (more) => {
    const prefix = redis.prefix();
    return () => kept(new HybridTaskQueue({ url: redis.url, prefix, ...OPTIONS, ...more }));
  },
};

function kept(queue: TaskQueue): TaskQueue {
  cleanup.push(() => queue.close());
  return queue;
}

/** A function that looks up what to do by the goal; `ran` records what it was asked, and with which results. */
function worker(doing: Readonly<Record<string, (input: AgentInput) => unknown>> = {}) {
  const ran: string[] = [];
  const inputs: Record<string, AgentInput> = {};
  const invoke = async (input: AgentInput) => {
    const goal = input.goal ?? '';
    ran.push(goal);
    inputs[goal] = input;
    return (await doing[goal]?.(input)) ?? `${goal} done`;
  };
  return { agents: { worker: { invoke } }, ran, inputs };
}

function conduct(queue: TaskQueue, agents: ConstructorParameters<typeof Conductor>[0]['agents']): Conductor {
  const conductor = new Conductor({ agents, queue });
  cleanup.push(() => conductor.close());
  return conductor;
}

/** Tests, then a build where they cover enough and a complaint where not; a notice in any case. */
function release() {
  return new Workflow('release')
    .add('tests', { goal: 'tests', maxRetries: 0 })
    .add('build', {
      goal: 'build',
      maxRetries: 0,
      dependsOn: [{ ref: 'tests', where: { 'result.coverage': { gte: 80 } } }],
    })
    .add('complain', {
      goal: 'complain',
      dependsOn: [{ ref: 'tests', where: { 'result.coverage': { lt: 80 } } }],
    })
    .add('publish', { goal: 'publish', dependsOn: ['tests', 'build'] })
    .add('apologise', { goal: 'apologise', dependsOn: [{ ref: 'build', on: 'failure' }] })
    .add('praise', { goal: 'praise', dependsOn: [{ ref: 'tests', on: { custom: 'good' } }] })
    .add('notice', {
      goal: 'notice',
      dependsOn: [
        { ref: 'publish', on: 'completion' },
        { ref: 'complain', on: 'completion' },
      ],
    });
}

async function statuses(run: { status(): Promise<{ tasks: Record<string, { status: string }> }> }) {
  const { tasks } = await run.status();
  return Object.fromEntries(Object.entries(tasks).map(([ref, { status }]) => [ref, status]));
}

describe.each(Object.keys(BACKENDS))('a workflow on %s', (backend) => {
  const open = () => BACKENDS[backend]!();

  test('takes the branch its results choose, merges, and gives each task the results it waited for', async () => {
    const storage = await open();
    const { agents, ran, inputs } = worker({ tests: () => ({ coverage: 91 }) });
    const conductor = conduct(storage(), agents);
    const run = await conductor.submit(release(), { id: 'r1', input: { version: '1.2' } });
    expect(await run.status()).toMatchObject({
      id: 'r1',
      name: 'release',
      status: 'running',
      tasks: { build: { id: 'r1:build', status: 'pending', blockedBy: ['tests'] } },
    });
    await conductor.processQueue({ untilEmpty: true });
    expect(await statuses(run)).toEqual({
      tests: 'completed',
      build: 'completed',
      complain: 'skipped',
      publish: 'completed',
      apologise: 'skipped',
      praise: 'skipped',
      notice: 'completed',
    });
    expect((await run.wait()).status).toBe('completed');
    expect(ran).toEqual(['tests', 'build', 'publish', 'notice']);
    expect(inputs.publish).toEqual({
      goal: 'publish',
      version: '1.2',
      results: { tests: { coverage: 91 }, build: 'build done' },
    });
    expect(inputs.notice?.results).toEqual({ publish: 'publish done' });
    expect(await run.results()).toEqual({
      tests: { coverage: 91 },
      build: 'build done',
      publish: 'publish done',
      notice: 'notice done',
    });
    expect(await run.toMermaid()).toContain('t0["tests<br/>completed"]:::completed');
    expect(await run.toJSON()).toMatchObject({
      status: 'completed',
      tasks: [{ ref: 'tests', status: 'completed' }, {}, { status: 'skipped' }, {}, {}, {}, {}],
    });
  });

  test('is found by its id from another process, which runs it', async () => {
    const storage = await open();
    const { agents } = worker({ tests: () => ({ coverage: 10 }) });
    const submitter = conduct(storage(), agents);
    const { id } = await submitter.submit(release());
    const other = conduct(storage(), agents);
    const run = await other.workflow<'tests' | 'complain'>(id);
    expect(run.name).toBe('release');
    await other.processQueue({ untilEmpty: true });
    expect(await statuses(run)).toMatchObject({ build: 'skipped', publish: 'skipped', notice: 'completed' });
    expect((await run.results()).complain).toBe('complain done');
    await expect(other.workflow('unheard')).rejects.toMatchObject({ code: 'WORKFLOW_NOT_FOUND' });
  });

  test('is submitted as a whole or not at all, and once under one id', async () => {
    const { agents } = worker();
    const conductor = conduct((await open())(), agents);
    const submit = (workflow: Workflow<string>) => conductor.submit(workflow, { id: 'w' });
    const bad = new Workflow<string>('w').add('a', { goal: 'a' }).add('b', { goal: 'b', priority: 11 });
    await expect(submit(bad)).rejects.toMatchObject({ code: 'INVALID_TASK', path: 'tasks[1].priority' });
    const round = new Workflow<string>('w').add('a', { goal: 'a', dependsOn: ['b'] });
    await expect(submit(round.add('b', { goal: 'b', dependsOn: ['a'] }))).rejects.toMatchObject({
      code: 'DEPENDENCY_CYCLE',
    });
    const reserved = new Workflow<string>('w').add('a', { goal: 'a', metadata: { workflow: 1 } });
    await expect(submit(reserved)).rejects.toMatchObject({ path: 'tasks[0].metadata.workflow' });
    expect((await conductor.queue.listTasks()).tasks).toEqual([]);
    await expect(conductor.workflow('w')).rejects.toMatchObject({ code: 'WORKFLOW_NOT_FOUND' });
    await expect(conductor.submit(release(), { input: [1] })).rejects.toMatchObject({ path: 'input' });
    const noGoal = new Workflow<string>('w').add('a', { goal: 1 as never });
    await expect(submit(noGoal)).rejects.toMatchObject({ path: 'tasks[0].goal' });
    await expect(conductor.submit(release(), { id: 'a:b' })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });

    await submit(release());
    await submit(release());
    expect((await conductor.queue.listTasks()).tasks).toHaveLength(7);
    const longer = release().add('more', { goal: 'more' });
    await expect(submit(longer)).rejects.toMatchObject({ code: 'DUPLICATE_TASK' });
    expect((await conductor.queue.listTasks()).tasks).toHaveLength(7);
  });

  test('cancels all that has not ended, also what was to run in any case', async () => {
    const storage = await open();
    const conductor = conduct(storage(), worker().agents);
    const run = await conductor.submit(release(), { id: 'w' });
    const status = await (await conduct(storage(), {}).workflow('w')).cancel('not today');
    expect(status.status).toBe('cancelled');
    expect(new Set(Object.values(await statuses(run)))).toEqual(new Set(['cancelled']));
    const history = await conductor.queue.history('w:notice');
    expect(history.at(-1)).toMatchObject({ to: 'cancelled', reason: 'not today' });
  });

  test('retries what failed and what depends on it, and nothing else', async () => {
    const storage = await open();
    let broken = true;
    const { agents, ran, inputs } = worker({
      tests: () => ({ coverage: 91 }),
      build: () => {
        if (broken) throw new Error('no compiler');
        return 'built';
      },
    });
    const conductor = conduct(storage(), agents);
    const run = await conductor.submit(release(), { id: 'w' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await run.status()).toMatchObject({
      status: 'failed',
      tasks: { build: { error: { message: 'no compiler' } }, publish: { status: 'skipped' } },
    });
    expect(ran.splice(0)).toEqual(expect.arrayContaining(['tests', 'build', 'apologise', 'notice']));

    // It fails once more: what is skipped again has a third generation after the next retry.
    await run.retry();
    await conductor.processQueue({ untilEmpty: true });
    // What was told of a failure is told of the next one, and what runs in any case runs again.
    expect(ran.splice(0)).toEqual(['build', 'apologise', 'notice']);
    broken = false;
    const other = await conduct(storage(), agents).workflow('w');
    const [{ tasks }] = await Promise.all([other.retry(), run.retry()]);
    expect(tasks.publish).toMatchObject({ id: 'w:publish:3', blockedBy: ['build'] });
    await conductor.processQueue({ untilEmpty: true });
    expect(ran).toEqual(['build', 'publish', 'notice']);
    expect(inputs.publish?.results).toEqual({ tests: { coverage: 91 }, build: 'built' });
    expect(await statuses(run)).toMatchObject({
      complain: 'skipped',
      praise: 'skipped',
      publish: 'completed',
      apologise: 'skipped',
      notice: 'completed',
    });
    expect(await run.results()).not.toHaveProperty('apologise');
    expect(await conductor.queue.getTask('w:complain:2')).toBeNull();
    expect(await conductor.queue.getTask('w:praise:2')).toBeNull();
    expect((await run.status()).status).toBe('completed');
    expect((await run.retry()).status).toBe('completed');
  });

  test('goes on with a retry that was cut off between its two steps', async () => {
    const queue = (await open())();
    let broken = true;
    const { agents, ran } = worker({
      first: () => {
        if (broken) throw new Error('broken');
      },
    });
    const conductor = conduct(queue, agents);
    const chain = new Workflow('chain')
      .add('first', { goal: 'first', maxRetries: 0 })
      .add('second', { goal: 'second', dependsOn: ['first'] })
      .add('third', { goal: 'third', dependsOn: ['second'] });
    const run = await conductor.submit(chain, { id: 'c' });
    await conductor.processQueue({ untilEmpty: true });
    broken = false;
    const enqueueMany = queue.enqueueMany;
    queue.enqueueMany = () => Promise.reject(new Error('cut off'));
    await expect(run.retry()).rejects.toThrow('cut off');
    queue.enqueueMany = enqueueMany;
    await conductor.processQueue({ untilEmpty: true });
    expect(await statuses(run)).toMatchObject({ first: 'completed', second: 'skipped' });
    await run.retry();
    await conductor.processQueue({ untilEmpty: true });
    expect(ran).toEqual(['first', 'first', 'second', 'third']);
    expect((await run.wait()).status).toBe('completed');
  });

  test('is as nested as it likes, and a thousand tasks wide', async () => {
    const { agents } = worker();
    const conductor = conduct((await open())(), agents);
    const fan = new Workflow<string>('fan');
    for (let i = 0; i < 1_000; i++) fan.add(`t${i}`, { goal: 'wide' });
    const whole = new Workflow<string>('whole')
      .add('begin', { goal: 'begin' })
      .addWorkflow('one', new Workflow<string>('outer').addWorkflow('two', fan), { dependsOn: ['begin'] })
      .add('end', { goal: 'end', dependsOn: fan.tasks().map(({ ref }) => `one.two.${ref}`) });
    const run = await conductor.submit(whole);
    await conductor.processQueue({ untilEmpty: true, maxConcurrent: 50 });
    expect((await run.status()).status).toBe('completed');
    const again = await conductor.workflow(run.id);
    expect(Object.keys((await again.status()).tasks)).toHaveLength(1_002);
  });
});

const State = Annotation.Root({
  goal: Annotation<string>(),
  version: Annotation<string>(),
  results: Annotation<Record<string, unknown>>(),
  runs: Annotation<number>({ reducer: (a, b) => a + b, default: () => 0 }),
  seen: Annotation<unknown>(),
});

function jottyOf({ configurable }: { configurable?: Record<string, unknown> }): AttemptInfo {
  return configurable?.jotty as AttemptInfo;
}

function graph(log: string[] = []) {
  return new StateGraph(State)
    .addNode('look', (state, config) => {
      log.push(state.goal);
      const { results, workflow } = jottyOf(config);
      return { runs: 1, seen: { results, workflow, channel: state.results } };
    })
    .addEdge(START, 'look')
    .addEdge('look', END)
    .compile();
}

test('a graph gets results and input on the channels it has, its nodes all of them by their config', async () => {
  const Small = Annotation.Root({ goal: Annotation<string>(), seen: Annotation<unknown>() });
  const small = new StateGraph(Small)
    .addNode('look', (_, config) => ({ seen: jottyOf(config).results }))
    .addEdge(START, 'look')
    .addEdge('look', END)
    .compile();
  const queue = kept(new MemoryTaskQueue());
  const conductor = conduct(queue, {
    small,
    graph: graph(),
    custom: {
      graph: graph(),
      toInput: ({ results, workflow }) => ({ goal: `${workflow?.ref} ${JSON.stringify(results)}` }),
    },
  });
  const workflow = new Workflow('w')
    .add('a', { goal: 'a', agent: 'small' })
    .add('b', { goal: 'b', agent: 'graph', dependsOn: ['a'], input: { version: 'mine' } })
    .add('c', { goal: 'c', agent: 'graph', dependsOn: [{ ref: 'a', on: 'completion' }] })
    .add('d', { goal: 'd', agent: 'custom', dependsOn: ['a'] });
  const run = await conductor.submit(workflow, { id: 'w', input: { version: '1', other: 2 } });
  await conductor.processQueue({ untilEmpty: true });
  const of = await run.results();
  const a = { goal: 'a', seen: {} };
  expect(of.a).toEqual(a);
  expect(of.b).toMatchObject({ version: 'mine', seen: { channel: { a } } });
  // Handed on, the results of results would grow without end.
  expect(of.b).not.toHaveProperty('results');
  expect(of.c).toMatchObject({
    version: '1',
    seen: {
      channel: { a },
      results: { a },
      workflow: { id: 'w', name: 'w', ref: 'c', input: { version: '1', other: 2 } },
    },
  });
  expect(of.d).toMatchObject({ goal: `d ${JSON.stringify({ a })}` });
});

test('a graph whose result was rejected runs again, on top of its state', async () => {
  const log: string[] = [];
  const queue = kept(new MemoryTaskQueue(OPTIONS));
  const conductor = conduct(queue, { graph: graph(log) });
  const validate = { where: { 'result.runs': { gte: 3 } } };
  const id = await conductor.enqueueGoal('count', { validate, maxRetries: 2 });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ runs: 3 });
  const stubborn = await conductor.enqueueGoal('count', { validate, maxRetries: 1 });
  await conductor.processQueue({ untilEmpty: true });
  await expect(conductor.result(stubborn)).rejects.toMatchObject({
    code: 'TASK_FAILED',
    cause: { code: 'RESULT_REJECTED' },
  });
  await queue.retry(stubborn);
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(stubborn)).toMatchObject({ runs: 3 });
});

test('too large results fail the task that would get them, by name', async () => {
  const queue = kept(new MemoryTaskQueue());
  const big = 'x'.repeat(1024 * 1024 - 10);
  const conductor = conduct(queue, { worker: { invoke: async () => big } });
  const workflow = new Workflow<string>('w');
  for (let i = 0; i < 17; i++) workflow.add(`t${i}`, { goal: 'big' });
  workflow.add('end', { goal: 'end', dependsOn: workflow.tasks().map(({ ref }) => ref) });
  const run = await conductor.submit(workflow);
  await conductor.processQueue({ untilEmpty: true });
  expect((await run.status()).tasks.end).toMatchObject({ status: 'failed', error: { code: 'TOO_LARGE' } });
});

test('of several dependencies one that stays was enough: what it set going does not run again', async () => {
  const queue = kept(new MemoryTaskQueue(OPTIONS));
  const fails = () => {
    throw new Error('no');
  };
  const { agents, ran } = worker({ bad: fails });
  const conductor = conduct(queue, agents);
  const run = await conductor.submit(
    new Workflow<string>('w')
      .add('good', { goal: 'good' })
      .add('bad', { goal: 'bad', maxRetries: 0 })
      .add('either', { goal: 'either', join: 'any', dependsOn: ['good', { ref: 'bad', on: 'failure' }] })
      .add('after', { goal: 'after', dependsOn: ['either'] })
      .add('always', { goal: 'always', dependsOn: [{ ref: 'bad', on: 'completion' }] }),
  );
  await conductor.processQueue({ untilEmpty: true });
  ran.splice(0);
  await run.retry();
  await conductor.processQueue({ untilEmpty: true });
  expect(ran).toEqual(['bad', 'always']);
});

describe.each(Object.keys(BACKENDS))('a retried workflow on %s whose tasks are purged', (backend) => {
  const RETENTION_MS = 60_000;

  /** Sweeps come with the time of the clock, and take some of another. */
  async function passes(clock: { advance(ms: number): Promise<void> }, isTrue: () => Promise<boolean>) {
    await until(async () => {
      await clock.advance(1_000);
      return isTrue();
    });
  }

  async function failedWorkflow(broken: { is: boolean }) {
    const { FakeClock } = await import('../../src/testing/fake-clock.ts');
    const clock = new FakeClock(undefined, undefined, () => new Promise((resolve) => setTimeout(resolve, 1)));
    const queue = (await BACKENDS[backend]!({ clock, retentionMs: RETENTION_MS, sweepMs: 1_000 }))();
    const { agents, ran } = worker({
      build: () => {
        if (broken.is) throw new Error('broken');
      },
    });
    const conductor = conduct(queue, agents);
    const plan = new Workflow<string>('w')
      .add('fetch', { goal: 'fetch' })
      .add('build', { goal: 'build', maxRetries: 0, dependsOn: ['fetch'] })
      .add('test', { goal: 'test', dependsOn: ['build'] })
      .add('publish', { goal: 'publish', dependsOn: ['test', { ref: 'fetch', on: 'completion' }] });
    const run = await conductor.submit(plan, { id: 'w' });
    await conductor.processQueue({ untilEmpty: true });
    return { clock, conductor, run, ran };
  }

  test('is known until the last generation is gone', async () => {
    const broken = { is: true };
    const { clock, conductor, run } = await failedWorkflow(broken);
    await clock.advance(RETENTION_MS - 1_000);
    broken.is = false;
    await run.retry();
    await conductor.processQueue({ untilEmpty: true });
    await passes(clock, async () => (await statuses(run)).fetch === 'purged');
    expect(await statuses(run)).toEqual({
      fetch: 'purged',
      build: 'completed',
      test: 'completed',
      publish: 'completed',
    });
    // One that runs again is the last that is left of it.
    const { queue } = conductor;
    const { id } = (await run.status()).tasks.test!;
    expect(id).toBe('w:test:2');
    expect((await run.retry()).status).toBe('completed');
    await clock.advance(RETENTION_MS);
    await passes(clock, async () => (await queue.getTask(id)) === null);
    const found = () => conductor.workflow('w').catch(({ code }: { code: string }) => code);
    await passes(clock, async () => (await found()) === 'WORKFLOW_NOT_FOUND');
  });

  test('is refused where a result that is gone would be needed', async () => {
    const broken = { is: true };
    const { clock, conductor, run, ran } = await failedWorkflow(broken);
    await clock.advance(RETENTION_MS - 1_000);
    await run.retry();
    await conductor.processQueue({ untilEmpty: true });
    // Now the fetch is gone. That it has ended is all that `publish` needs of it.
    await passes(clock, async () => (await statuses(run)).fetch === 'purged');
    broken.is = false;
    ran.splice(0);
    await run.retry();
    await conductor.processQueue({ untilEmpty: true });
    expect(ran).toEqual(['build', 'test', 'publish']);

    const other = new Workflow<string>('v')
      .add('fetch', { goal: 'fetch' })
      .add('build', { goal: 'build', maxRetries: 0 })
      .add('test', { goal: 'test', dependsOn: ['build', 'fetch'] });
    broken.is = true;
    const second = await conductor.submit(other, { id: 'v' });
    await conductor.processQueue({ untilEmpty: true });
    await clock.advance(RETENTION_MS - 1_000);
    await second.retry();
    await conductor.processQueue({ untilEmpty: true });
    await passes(clock, async () => (await statuses(second)).fetch === 'purged');
    await expect(second.retry()).rejects.toMatchObject({ code: 'WORKFLOW_PURGED' });
    expect(await statuses(second)).toEqual({ fetch: 'purged', build: 'failed', test: 'skipped' });
  });
});

test('a workflow waits for a person, and is forgotten with the last of its tasks', async () => {
  const { FakeClock } = await import('../../src/testing/fake-clock.ts');
  const clock = new FakeClock();
  const queue = kept(new MemoryTaskQueue({ clock, retentionMs: 1_000, sweepMs: 500 }));
  const { twoQuestions } = await import('./graphs.ts');
  const { invoke } = worker().agents.worker;
  const conductor = conduct(queue, { ask: twoQuestions(), worker: { invoke } });
  const workflow = new Workflow('w')
    .add('first', { goal: 'first', agent: 'worker' })
    .add('ask', { goal: 'ask', agent: 'ask', dependsOn: ['first'] })
    .add('after', { goal: 'after', agent: 'worker', dependsOn: ['ask'] });
  const run = await conductor.submit(workflow, { id: 'w' });
  await conductor.processQueue({ untilEmpty: true });
  expect(await run.status()).toMatchObject({ status: 'waiting', tasks: { ask: { interrupts: [{}] } } });
  const stop = new AbortController();
  const loop = conductor.processQueue({ signal: stop.signal });
  for (let i = 0; i < 4; i++) await clock.advance(1_000);
  expect(await statuses(run)).toMatchObject({ first: 'purged', ask: 'waiting' });
  expect((await conductor.workflow('w')).name).toBe('w');
  await run.cancel();
  for (let i = 0; i < 4; i++) await clock.advance(1_000);
  await expect(conductor.workflow('w')).rejects.toMatchObject({ code: 'WORKFLOW_NOT_FOUND' });
  stop.abort();
  await loop;
});
