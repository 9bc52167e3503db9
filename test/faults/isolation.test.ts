import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type * as Jotty from '../../src/index.ts';
import { compiledJotty, compiledWorker } from './compiled.ts';
import { eventually } from './processes.ts';
import { TEST_TIMEOUT } from './scale.ts';

/** Compiled, as an app has it: through a loader each thread and process would take seconds to start. */
const MODULE = compiledWorker('isolated-graphs');
const { Conductor, SQLiteTaskQueue } = await compiledJotty();

let folder: string;
let file: string;
const endings: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jotty-isolation-'));
  file = join(folder, 'log');
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true });
});

const told = () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
const isTold = (text: string) =>
  eventually(
    () => told().some((line) => line.startsWith(text)),
    20_000,
    () => `${text} was not told`,
  );
const pidTold = () => Number(told()[0]!.split(' ')[1]);
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

function conduct(isolation: Jotty.IsolationOptions, names: readonly string[], options: object = {}) {
  const queue = new SQLiteTaskQueue({
    path: join(folder, 'tasks.db'),
    retry: { initialInterval: 10 },
    ...options,
  });
  const agents = Object.fromEntries(names.map((name) => [name, { module: MODULE, export: name, isolation }]));
  const conductor = new Conductor({ agents, queue });
  endings.push(async () => {
    await conductor.close();
    await queue.close();
  });
  const enqueue = (agent: string, more: object = {}) =>
    conductor.enqueueGoal('go', { agent, input: { file }, ...more });
  return { queue, conductor, enqueue, run: () => conductor.processQueue({ untilEmpty: true }) };
}

/** It is kept for the next run: what is timed then is not how long a busy machine takes to start one. */
async function warmUp(enqueue: ReturnType<typeof conduct>['enqueue'], run: () => Promise<unknown>) {
  await enqueue('blocks', { input: { file, ms: 0 } });
  await run();
}

describe.each(['thread', 'process'] as const)('an agent in a %s', (where) => {
  const isolation = { in: where, graceMs: 300 };

  test(
    'runs, asks and goes on as it would here, and its checkpoints are the conductor’s',
    TEST_TIMEOUT,
    async () => {
      const { conductor, queue, enqueue, run } = conduct(isolation, [
        'asks',
        'shows',
        'parent',
        'plain',
        'fails',
      ]);
      const ids = await Promise.all([
        enqueue('asks', { id: 'q' }),
        enqueue('shows', { id: 's' }),
        enqueue('parent'),
      ]);
      const seen: Jotty.RunEvent[] = [];
      const reading = (async () => {
        for await (const event of conductor.events('s')) seen.push(event);
      })();
      const failing = await enqueue('fails', { maxRetries: 1 });
      await run();
      const asking = await queue.getTask('q');
      expect(asking).toMatchObject({ status: 'waiting', interrupts: [{ value: 'which?' }] });
      await conductor.answer('q', asking!.interrupts![0]!.id, 'this');
      await run();
      await reading;

      const results = await Promise.all(
        [...ids, 'child'].map((id) => conductor.result<{ path: string[] }>(id)),
      );
      for (const { path } of results) {
        expect(path.map((step) => step.split(':')[0])).toEqual(['a', 'b', 'c']);
        expect(path.every((step) => step.endsWith(`:${process.pid}`))).toBe(where === 'thread');
      }
      expect(results[0]).toMatchObject({ goal: 'this', answer: 'true', when: '1970-01-01T00:00:00.005Z' });
      const saved = await (await conductor.checkpointer).getTuple({ configurable: { thread_id: 'q' } });
      expect(saved?.checkpoint.channel_values.when).toEqual(new Date(5));
      expect(seen).toContainEqual(expect.objectContaining({ type: 'custom', data: { shown: 1 } }));
      expect(seen.filter((event) => event.type === 'node' && event.phase === 'started')).toHaveLength(3);
      expect(await queue.getTask(failing)).toMatchObject({
        status: 'failed',
        retryCount: 1,
        crashes: 0,
        error: { message: 'as planned', code: 'PLANNED' },
      });
    },
  );

  test('makes a call with a side effect once, also where its run fails after it', TEST_TIMEOUT, async () => {
    const { conductor, enqueue, run } = conduct(isolation, ['once1']);
    const id = await enqueue('once1');
    await run();
    expect(await conductor.result(id)).toMatchObject({ goal: '1' });
    expect(told()).toEqual(['paid']);
  });

  test('is drained at its next step, and goes on there', TEST_TIMEOUT, async () => {
    const { conductor, queue, enqueue, run } = conduct(isolation, ['drains']);
    const id = await enqueue('drains');
    const stop = new AbortController();
    const loop = conductor.processQueue({ signal: stop.signal });
    await isTold('in b');
    stop.abort();
    await loop;
    expect(await queue.getTask(id)).toMatchObject({ status: 'pending', retryCount: 0, crashes: 0 });
    await run();
    expect((await queue.getTask(id))?.status).toBe('completed');
    expect(told()).toEqual(['in b']);
  });

  test('that is cancelled and stops in its grace is not killed', TEST_TIMEOUT, async () => {
    const { conductor, enqueue } = conduct(isolation, ['heeds']);
    const id = await enqueue('heeds');
    const loop = conductor.processQueue({ maxTasks: 1 });
    await isTold('started');
    const receipt = await conductor.cancel(id, { graceMs: 20_000, reason: 'enough' });
    expect(receipt).toMatchObject({ status: 'cancelled', reason: 'enough', run: 'ended' });
    expect(receipt.checkpointId).toBeTypeOf('string');
    expect(told().at(-1)).toBe('cleaned up');
    await loop;
  });

  test('that is cancelled and does not stop is killed after its grace', TEST_TIMEOUT, async () => {
    const { conductor, enqueue } = conduct(isolation, ['deaf']);
    const id = await enqueue('deaf');
    const loop = conductor.processQueue({ maxTasks: 1 });
    await isTold('alive');
    const startedAt = performance.now();
    expect(await conductor.cancel(id, { graceMs: 200 })).toMatchObject({
      status: 'cancelled',
      run: 'killed',
    });
    const ms = performance.now() - startedAt;
    expect(ms).toBeGreaterThanOrEqual(190);
    expect(ms).toBeLessThan(3_000);
    const lines = told().length;
    if (where === 'process') expect(isAlive(pidTold())).toBe(false);
    await loop;
    expect(told()).toHaveLength(lines);
  });

  test('that times out is killed, also where it blocks its event loop', TEST_TIMEOUT, async () => {
    const { conductor, queue, enqueue, run } = conduct(isolation, ['blocks', 'plain']);
    await warmUp(enqueue, run);
    const id = await enqueue('blocks', { input: { file, ms: 60_000 }, timeoutMs: 1_500, maxRetries: 0 });
    const loop = conductor.processQueue({ maxTasks: 2, maxConcurrent: 1 });
    await eventually(
      () => told().length === 2,
      20_000,
      () => 'it did not start',
    );
    await enqueue('plain', { id: 'next' });
    await loop;
    const [late, next] = await Promise.all([queue.getTask(id), queue.getTask('next')]);
    expect(late).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } });
    expect(late!.completedAt! - late!.startedAt!).toBeLessThan(2_500);
    expect(next?.status).toBe('completed');
    if (where === 'process')
      await eventually(
        () => !isAlive(pidTold()),
        5_000,
        () => 'it still lives',
      );
  });

  test('that shows no sign of life is ended by its idle time-out', TEST_TIMEOUT, async () => {
    const { queue, enqueue, run } = conduct(isolation, ['blocks']);
    await warmUp(enqueue, run);
    const id = await enqueue('blocks', { input: { file, ms: 60_000 }, idleTimeoutMs: 1_000, maxRetries: 0 });
    await run();
    expect(await queue.getTask(id)).toMatchObject({ status: 'failed', error: { code: 'IDLE_TIMEOUT' } });
    expect(told()).toHaveLength(2);
  });

  test('that uses up its heap costs only its own runs', TEST_TIMEOUT, async () => {
    const { conductor, queue, enqueue, run } = conduct({ ...isolation, maxMemoryMb: 64 }, ['eats', 'plain']);
    const id = await enqueue('eats', { maxCrashes: 2 });
    const others = await Promise.all([enqueue('plain'), enqueue('plain')]);
    await run();
    expect(await queue.getTask(id)).toMatchObject({
      status: 'failed',
      crashes: 2,
      retryCount: 0,
      error: { name: 'AgentCrashedError', code: 'OUT_OF_MEMORY' },
    });
    expect(told()).toEqual(['started', 'started']);
    for (const other of others) expect(await conductor.result(other)).toMatchObject({ answer: 'true' });
  });

  test('runs without a queue, and ends with the signal of its run', TEST_TIMEOUT, async () => {
    const { conductor } = conduct(isolation, ['plain', 'deaf']);
    expect(await conductor.run('go', { agent: 'plain', input: { file } })).toMatchObject({
      status: 'completed',
    });
    const stop = new AbortController();
    const run = conductor.run('go', { agent: 'deaf', input: { file }, signal: stop.signal });
    await isTold('alive');
    stop.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    if (where === 'process')
      await eventually(
        () => !isAlive(pidTold()),
        5_000,
        () => 'it still lives',
      );
  });
});

test('a segfault in a process costs only its own runs: as many as maxCrashes', TEST_TIMEOUT, async () => {
  const { conductor, queue, enqueue, run } = conduct({ in: 'process' }, ['faults', 'exits', 'plain']);
  const id = await enqueue('faults', { maxCrashes: 2 });
  const exiting = await enqueue('exits', { maxCrashes: 1 });
  const other = await enqueue('plain');
  await run();
  expect(await queue.getTask(id)).toMatchObject({
    status: 'failed',
    crashes: 2,
    retryCount: 0,
    error: { code: 'WORKER_CRASHED', message: expect.stringContaining('SIGSEGV') },
  });
  expect(told()).toEqual(['started', 'started']);
  expect(await queue.getTask(exiting)).toMatchObject({ crashes: 1, error: { code: 'WORKER_CRASHED' } });
  expect(await conductor.result(other)).toMatchObject({ answer: 'true' });
});
