import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type AgentInput, Conductor, type RunEvent } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { SQLiteTaskQueue } from '../../src/queue/index.ts';
import { deepAgent } from './deep-agent.ts';

const GATHERED = ['lead 0', 'lead 1', 'scout 0', 'look', 'scout 1', 'lead 2', 'lead 3'];
const APPROVED = { decisions: [{ type: 'approve' }] };

interface DeepResult {
  readonly messages: readonly { readonly type: string; readonly name?: string; readonly content: string }[];
  readonly todos: unknown;
  readonly files: unknown;
  readonly path?: readonly string[];
}

const lastOf = ({ messages }: DeepResult) => messages.at(-1)!.content;

async function answerOnlyQuestion(conductor: Conductor, id: string, value: object) {
  const [question, ...others] = (await conductor.queue.getTask(id))!.interrupts!;
  expect(others).toEqual([]);
  await conductor.answer(id, question!.id, value as never);
  return question!.value;
}

test('a deep agent plans, asks its sub-agent, writes files, and waits for a person before its tool', async () => {
  const log: string[] = [];
  await using queue = new MemoryTaskQueue();
  await using conductor = new Conductor({ agents: { deep: deepAgent((what) => log.push(what)) }, queue });
  const id = await conductor.enqueueGoal('What is the answer?', { budget: { modelCalls: 20 } });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
  expect(log).toEqual(GATHERED);
  expect(await answerOnlyQuestion(conductor, id, APPROVED)).toMatchObject({
    actionRequests: [{ name: 'publish', args: {} }],
  });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ completed: 1 });
  expect(log).toEqual([...GATHERED, 'publish', 'lead 4']);

  const result = await conductor.result<DeepResult & object>(id as never);
  expect(lastOf(result)).toBe('done: published');
  expect(result.messages[0]).toMatchObject({ type: 'human', content: 'What is the answer?' });
  expect(result.todos).toEqual([
    { content: 'find it', status: 'in_progress' },
    { content: 'write it', status: 'pending' },
  ]);
  expect(result.files).toMatchObject({ '/report.md': { content: 'found 42' } });
  // Those of the sub-agent are among them.
  expect(await conductor.usage({ taskId: id })).toMatchObject({ modelCalls: 7 });

  const events: RunEvent[] = [];
  for await (const event of conductor.events(id)) events.push(event);
  expect(new Set(events.map(({ type }) => type))).toEqual(
    new Set(['transition', 'node', 'usage', 'interrupt']),
  );
  const asked = events.filter((event) => event.type === 'node' && event.node === 'model_request');
  const namespaces = asked.map((event) => ('namespace' in event ? event.namespace.length : -1));
  expect(namespaces).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
});

test('a tool of a deep agent that a person rejects does not run, and the agent hears why', async () => {
  const log: string[] = [];
  await using queue = new MemoryTaskQueue();
  await using conductor = new Conductor({ agents: { deep: deepAgent((what) => log.push(what)) }, queue });
  const id = await conductor.enqueueGoal('What is the answer?');
  await conductor.processQueue({ untilEmpty: true });
  await answerOnlyQuestion(conductor, id, { decisions: [{ type: 'reject', message: 'not today' }] });
  await conductor.processQueue({ untilEmpty: true });
  expect(lastOf(await conductor.result<DeepResult & object>(id as never))).toMatch(/not today/);
  expect(log).not.toContain('publish');
});

test('a deep agent is one of a team, and asks there too; without a queue it waits for its answer', async () => {
  const log: string[] = [];
  await using conductor = new Conductor({
    agents: {
      deep: deepAgent((what) => log.push(what)),
      last: { invoke: ({ results }: AgentInput) => Object.keys(results as object) },
    },
    mode: 'static',
    plan: ['deep', 'last'],
  });
  const run = await conductor.run('What is the answer?');
  expect(run).toMatchObject({ status: 'waiting', interrupts: [expect.anything()] });
  const [{ id }] = (run as unknown as { interrupts: [{ id: string }] }).interrupts;
  const end = await conductor.run('What is the answer?', {
    threadId: run.threadId,
    answers: { [id]: APPROVED },
  });
  expect(end).toMatchObject({
    status: 'completed',
    result: { path: ['deep', 'last'], results: { last: ['deep'] }, files: { '/report.md': {} } },
  });
  expect(log).toEqual([...GATHERED, 'publish', 'lead 4']);
});

test('a deep agent whose process is killed in its sub-agent goes on in that sub-agent', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'jotty-deep-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'tasks.db');
  const worker = fileURLToPath(new URL('./deep-worker.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', worker, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const before: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    before.push(line);
    if (line === 'look') child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  expect(before).toEqual(GATHERED.slice(0, 4));

  // The lease of the dead has run out by this clock.
  const clock = { ...systemClock, now: () => systemClock.now() + 600_000 };
  const retry = { initialInterval: 0, jitter: false };
  await using queue = new SQLiteTaskQueue({ path, clock, sweepMs: 20, retry });
  const log: string[] = [];
  await using conductor = new Conductor({ agents: { deep: deepAgent((what) => log.push(what)) }, queue });
  expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
  await answerOnlyQuestion(conductor, 'deep', APPROVED);
  await conductor.processQueue({ untilEmpty: true });
  const result = await conductor.result<DeepResult & object>('deep' as never);
  expect(lastOf(result)).toBe('done: published');
  expect(result.files).toMatchObject({ '/report.md': { content: 'found 42' } });
  // No model is asked again for what it had said: only the tool in flight is called anew.
  expect(log).toEqual(['look', 'scout 1', 'lead 2', 'lead 3', 'publish', 'lead 4']);
});
