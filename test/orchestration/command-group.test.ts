import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { expect, test } from 'vitest';
import { Conductor, commandAgent, LeaseLostError } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { Fifo, stubborn } from './fifo.ts';

const allow = ['sh', 'node'];

test('a time-out ends the program and its children, also those that do not heed SIGTERM', async () => {
  using fifo = new Fifo();
  const shell = commandAgent({ allow, graceMs: 50, timeoutMs: 300 });
  await using conductor = new Conductor({ agents: { shell } });
  const id = await conductor.enqueueGoal('run', { input: { argv: stubborn(fifo) }, maxRetries: 0 });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.queue.getTask(id)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } });
  await fifo.ended;
  expect(fifo.lines.toSorted()).toEqual(['asked', 'child']);
});

test('SIGKILL comes graceMs after SIGTERM and not before', async () => {
  using fifo = new Fifo();
  const clock = new FakeClock();
  const shell = commandAgent({ allow, graceMs: 5_000, clock });
  const controller = new AbortController();
  const end = shell.invoke({ argv: stubborn(fifo) }, { signal: controller.signal });
  const isRefused = expect(end).rejects.toMatchObject({ code: 'LEASE_LOST' });
  await fifo.line();
  controller.abort(new LeaseLostError('a', 1, 'it expired'));
  await fifo.line(2);
  await clock.advance(4_999);
  expect(fifo.isEnded).toBe(false);
  await clock.advance(1);
  await isRefused;
  await fifo.ended;
  expect(clock.timers).toBe(0);
});

test('a cancelled task ends its program', async () => {
  using fifo = new Fifo();
  await using conductor = new Conductor({ agents: { shell: commandAgent({ allow, graceMs: 20 }) } });
  const id = await conductor.enqueueGoal('run', { input: { argv: stubborn(fifo) } });
  const loop = conductor.processQueue({ untilEmpty: true });
  await fifo.line();
  await conductor.cancel(id);
  await fifo.ended;
  await loop;
  expect((await conductor.queue.getTask(id))?.status).toBe('cancelled');
});

test('what a program leaves behind in its group ends with it, though it holds the output', async () => {
  using fifo = new Fifo();
  const shell = commandAgent({ allow, graceMs: 60_000 });
  const script = 'exec 9>"$1"; sleep 1000 & echo started >&9; echo out; exit 0';
  const result = await shell.invoke({ argv: ['sh', '-c', script, 'sh', fifo.path] });
  expect(result).toMatchObject({ exitCode: 0, stdout: 'out\n' });
  await fifo.ended;
});

test('a program that leaves well on SIGTERM is not killed', async () => {
  using fifo = new Fifo();
  const shell = commandAgent({ allow, graceMs: 60_000 });
  const controller = new AbortController();
  const script = 'exec 9>"$1"; trap "echo bye >&9; exit 0" TERM; echo here >&9; while :; do sleep 0.01; done';
  const end = shell.invoke({ argv: ['sh', '-c', script, 'sh', fifo.path] }, { signal: controller.signal });
  await fifo.line();
  controller.abort(new Error('enough'));
  await expect(end).rejects.toThrow('enough');
  await fifo.ended;
  expect(fifo.lines).toEqual(['here', 'bye']);
});

test('nothing is started for a call that is over already', async () => {
  const signal = AbortSignal.abort(new Error('too late'));
  const shell = commandAgent({ allow });
  await expect(shell.invoke({ argv: ['sh', '-c', 'exit 1'] }, { signal })).rejects.toThrow('too late');
});

test('a retry waits until the program of the attempt before is dead', async () => {
  using first = new Fifo();
  const queue = new MemoryTaskQueue({
    retry: { initialInterval: 1, backoffFactor: 1, maxInterval: 1, jitter: false },
  });
  const shell = commandAgent({ allow, graceMs: 300, timeoutMs: 2_000 });
  await using conductor = new Conductor({ agents: { shell }, queue });
  const script = `[ "$JOTTY_ATTEMPT" = 1 ] || { kill -0 "$(cat "$1.pid")" && exit 9; exit 0; }
    echo $$ > "$1.pid"; exec 9>"$1"; trap "" TERM; echo up >&9; while :; do sleep 0.01; done`;
  const input = { argv: ['sh', '-c', script, 'sh', first.path] };
  const id = await conductor.enqueueGoal('run', { input, maxRetries: 1, timeoutMs: 1_000 });
  await conductor.processQueue({ untilEmpty: true });
  expect(await queue.getTask(id)).toMatchObject({ status: 'completed', retryCount: 1 });
  await queue.close();
});

test.each([
  ['kill', 'SIGKILL'],
  ['terminate', 'SIGTERM'],
  ['exit', 'SIGUSR2'],
  ['stop', 'SIGUSR2'],
] as const)('no process outlives a worker that ends by %s', async (how, signal) => {
  using fifo = new Fifo();
  const argv = JSON.stringify(stubborn(fifo));
  const file = join(import.meta.dirname, 'command-worker.ts');
  const worker = spawn(process.execPath, ['--import', 'tsx', file, how, argv], { stdio: 'inherit' });
  await fifo.line();
  worker.kill(signal);
  await fifo.ended;
  if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
  expect(fifo.lines[0]).toBe('child');
});

test('a node of a graph can call it with its own config, and a drained run ends its program', async () => {
  using fifo = new Fifo();
  const shell = commandAgent({ allow, graceMs: 20 });
  const State = Annotation.Root({ goal: Annotation<string>, code: Annotation<number> });
  const graph = new StateGraph(State)
    .addNode('work', async (_state, config) => {
      const { exitCode } = await shell.invoke({ argv: stubborn(fifo) }, config);
      return { code: exitCode ?? -1 };
    })
    .addEdge(START, 'work')
    .addEdge('work', END)
    .compile();
  await using conductor = new Conductor({ agents: { graph } });
  const id = await conductor.enqueueGoal('run');
  const stop = new AbortController();
  const loop = conductor.processQueue({ signal: stop.signal, drainMs: 0 });
  await fifo.line();
  stop.abort();
  await loop;
  await fifo.ended;
  expect((await conductor.queue.getTask(id))?.status).toBe('pending');
});
