import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { RemoteGraph } from '@langchain/langgraph/remote';
import { expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { serveGraph } from './graph-server.ts';
import { deferred } from './graphs.ts';

const State = Annotation.Root({
  goal: Annotation<string>(),
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** read → act → tell, behind HTTP, where `act` is the test's. */
const serve = (act: (signal: AbortSignal) => unknown) =>
  serveGraph((checkpointer) =>
    new StateGraph(State)
      .addNode('read', ({ goal }) => ({ log: [`read ${goal}`] }))
      .addNode('act', async (_, { signal }) => ({ log: [String(await act(signal!))] }))
      .addNode('tell', () => ({ log: ['told'] }))
      .addEdge(START, 'read')
      .addEdge('read', 'act')
      .addEdge('act', 'tell')
      .addEdge('tell', END)
      .compile({ checkpointer }),
  );

const aQueue = () => new MemoryTaskQueue({ retry: { initialInterval: 0, jitter: false } });

test('a RemoteGraph behind HTTP runs as an agent; one that failed goes on there, and gets its input once', async () => {
  let failures = 1;
  await using server = await serve(() => {
    if (failures-- > 0) throw new Error('not yet');
    return 'acted';
  });
  await using queue = aQueue();
  const far = new RemoteGraph({ graphId: 'far', url: server.url });
  await using conductor = new Conductor({ agents: { far }, queue });
  const id = await conductor.enqueueGoal('go');
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ goal: 'go', log: ['read go', 'acted', 'told'] });
  expect(await queue.getTask(id)).toMatchObject({ retryCount: 1 });
  expect(server.requests).toEqual(['runs/stream', 'state/checkpoint', 'runs/stream']);
});

test('a RemoteGraph that was never reached begins with its input, and an end that was lost is found there', async () => {
  let acts = 0;
  await using server = await serve(() => {
    acts += 1;
    return 'acted';
  });
  await using queue = aQueue();
  const far = new RemoteGraph({ graphId: 'far', url: server.url });
  const invoke = far.invoke.bind(far);
  let calls = 0;
  far.invoke = async (...args) => {
    calls += 1;
    if (calls === 1) throw new Error('nobody is there');
    await invoke(...args);
    throw new Error('the connection was lost');
  };
  await using conductor = new Conductor({ agents: { far }, queue });
  const id = await conductor.enqueueGoal('go');
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ log: ['read go', 'acted', 'told'] });
  expect([acts, calls]).toEqual([1, 2]);
});

test('what a RemoteGraph asks is answered by a person, one question after the other', async () => {
  await using server = await serve(() => {
    const name = interrupt<string, string>('name?');
    return `${name}: ${interrupt<string, string>('why?')}`;
  });
  await using queue = aQueue();
  const far = new RemoteGraph({ graphId: 'far', url: server.url });
  await using conductor = new Conductor({ agents: { far }, queue });
  const id = await conductor.enqueueGoal('go');
  for (const [asked, answer] of [
    ['name?', 'Ada'],
    ['why?', 'because'],
  ]) {
    expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1, failed: 0 });
    const [question, ...others] = (await queue.getTask(id))!.interrupts!;
    expect([question!.value, others]).toEqual([asked, []]);
    await conductor.answer(id, question!.id, answer!);
  }
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ log: ['read go', 'Ada: because', 'told'] });
});

test('a RemoteGraph asks in a team too, and without a queue', async () => {
  await using server = await serve(() => interrupt('which?'));
  const far = new RemoteGraph({ graphId: 'far', url: server.url });
  const near = { invoke: () => 'near' };
  await using conductor = new Conductor({
    agents: { near, far, last: { invoke: () => 'last' } },
    mode: 'static',
    plan: ['near', 'far', 'last'],
  });
  for (const agent of ['static', 'far']) {
    const asked = await conductor.run('go', { agent });
    if (asked.status !== 'waiting') throw new Error('it did not ask');
    const [question] = asked.interrupts;
    expect(question).toMatchObject({ value: 'which?' });
    const { threadId } = asked;
    const end = await conductor.run('go', { agent, threadId, answers: { [question!.id]: 'this' } });
    const log = ['read go', 'this', 'told'];
    const result = agent === 'far' ? { log } : { path: ['near', 'far', 'last'], results: { far: { log } } };
    expect(end).toMatchObject({ status: 'completed', result });
  }
});

test('in a team the end of a RemoteGraph that was lost is found there, and each of its turns is a run of its own', async () => {
  let acts = 0;
  await using server = await serve(() => {
    acts += 1;
    return `acted ${acts}`;
  });
  await using queue = aQueue();
  const far = new RemoteGraph({ graphId: 'far', url: server.url });
  const invoke = far.invoke.bind(far);
  let calls = 0;
  far.invoke = async (...args) => {
    calls += 1;
    const end = await invoke(...args);
    if (calls % 2 === 1) throw new Error('the connection was lost');
    return end;
  };
  await using conductor = new Conductor({
    agents: { far, near: { invoke: () => 'near' } },
    queue,
    mode: 'static',
    plan: ['far', 'near', 'far'],
  });
  const id = await conductor.enqueueGoal('go');
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({
    path: ['far', 'near', 'far'],
    results: { far: { log: ['read go', 'acted 2', 'told'] } },
  });
  expect(acts).toBe(2);
});

test('a RemoteGraph that is cancelled is no longer waited for: its request is given up', async () => {
  const begun = deferred();
  await using server = await serve((signal) => {
    begun.resolve();
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  await using queue = aQueue();
  const far = new RemoteGraph({ graphId: 'far', url: server.url });
  await using conductor = new Conductor({ agents: { far }, queue });
  const id = await conductor.enqueueGoal('go');
  const loop = conductor.processQueue({ maxTasks: 1 });
  await begun.promise;
  expect(await conductor.cancel(id, { graceMs: 1_000 })).toMatchObject({ run: 'ended' });
  await loop;
  expect(await queue.getTask(id)).toMatchObject({ status: 'cancelled' });
  await expect.poll(() => server.aborted()).toBe(1);
});
