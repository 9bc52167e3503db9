import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { threeSteps, twoQuestions } from './graphs.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jotty-orchestration-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = () => new SQLiteTaskQueue({ path: join(folder, 'tasks.db') });

test('goals, checkpoints and answers live in one file and survive its closing', async () => {
  let id = '';
  for (const reply of ['Ada', 'blue']) {
    await using queue = open();
    const conductor = new Conductor({ agents: { ask: twoQuestions() }, queue });
    id ||= await conductor.enqueueGoal('go');
    expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
    const [question] = (await queue.getTask(id))?.interrupts ?? [];
    await conductor.answer(id, question!.id, reply);
  }
  await using queue = open();
  const conductor = new Conductor({ agents: { ask: twoQuestions() }, queue });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ answer: 'Ada likes blue' });
});

test('many graphs run at a time, each once, with their scores recorded', async () => {
  await using queue = open();
  const log: string[] = [];
  const conductor = new Conductor({ agents: { steps: threeSteps(log).compile() }, queue });
  const ids = await conductor.enqueueGoals(Array.from({ length: 30 }, (_, i) => `goal ${i}`));
  const counts = await conductor.processQueue({ untilEmpty: true, maxConcurrent: 10 });
  expect(counts).toEqual({ completed: 30, failed: 0, waiting: 0 });
  expect(log).toHaveLength(90);
  const task = await queue.getTask(ids[7]!);
  expect(task).toMatchObject({ result: { goal: 'goal 7' }, assignedAgent: 'steps', attempt: 1 });
});

test('importing the conductor loads neither a native module nor LangGraph, and a pending result keeps the process alive', async () => {
  const index = new URL('../../src/index.ts', import.meta.url).href;
  const program = `
    import { Conductor } from ${JSON.stringify(index)};
    import { createRequire } from 'node:module';
    const loaded = process.moduleLoadList.filter((name) => /better|sqlite/.test(name)).length;
    const conductor = new Conductor({ agents: { slow: { invoke: () => new Promise((done) => setTimeout(done, 50, 'done').unref()) } } });
    const id = await conductor.enqueueGoal('go');
    void conductor.processQueue({ untilEmpty: true });
    console.log(JSON.stringify({ loaded, result: await conductor.result(id), cached: Object.keys(createRequire(import.meta.url).cache) }));
    await conductor.close();`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', program],
    { cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  const { loaded, result, cached } = JSON.parse(stdout) as {
    loaded: number;
    result: string;
    cached: string[];
  };
  expect(result).toBe('done');
  expect(loaded).toBe(0);
  expect(cached.filter((path) => path.endsWith('.node') || path.includes('langgraph'))).toEqual([]);
});
