import { afterAll, expect, test } from 'vitest';
import { Conductor, commandAgent, enqueueChildren, JottyError, Workflow } from '../../src/index.ts';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';

const queue = new MemoryTaskQueue();
const conductor = new Conductor({ agents: { agent: { invoke: () => 'done' } }, queue });
const plan = () => new Workflow<string>('plan').add('a', { goal: 'a' });

afterAll(async () => {
  await conductor.close();
  await queue.close();
});

/** What callers without types may pass; each is wrong everywhere below. */
const WRONG: readonly unknown[] = [null, 1, Number.NaN, true, [1], [null], { odd: 1 }, () => 1];

// biome-ignore lint/suspicious/noExplicitAny: the types are what is got around here.
const CALLS: Readonly<Record<string, (wrong: any) => unknown>> = {
  'queue.enqueue': (wrong) => queue.enqueue(wrong),
  'queue.enqueueMany': (wrong) => queue.enqueueMany(wrong),
  'queue.dequeue': (wrong) => queue.dequeue(wrong === true || typeof wrong === 'function' ? null : wrong),
  'queue.heartbeatMany': (wrong) => queue.heartbeatMany(wrong),
  'queue.listTasks by status': (wrong) => queue.listTasks({ status: wrong }),
  'queue.listTasks from a cursor': (wrong) => queue.listTasks({ cursor: wrong }),
  'queue.setLimit of a key': (wrong) => queue.setLimit(wrong, { max: 1 }),
  'queue.limits': (wrong) => queue.limits(wrong),
  'queue.pause': (wrong) => queue.pause(wrong),
  'queue.on an event': (wrong) => queue.on(wrong, () => {}),
  'queue.registerCondition': (wrong) => queue.registerCondition(wrong, () => true),
  'queue.waitFor': (wrong) => queue.waitFor('nobody', { timeoutMs: wrong === 1 ? 0 : wrong }),
  'conductor.enqueueGoals': (wrong) => conductor.enqueueGoals(wrong),
  'conductor.submit': (wrong) => conductor.submit(wrong),
  'conductor.submit under an id': (wrong) => conductor.submit(plan(), { id: wrong }),
  'conductor.batch': (wrong) => conductor.batch(wrong),
  'conductor.inbox from a cursor': (wrong) => conductor.inbox({ cursor: wrong }),
  'conductor.approve': (wrong) => conductor.approve('nobody', wrong),
  'conductor.cancel': (wrong) => conductor.cancel('nobody', wrong),
  'schedules.upsert': (wrong) => conductor.schedules.upsert('s', wrong),
  'schedules.upsert under an id': (wrong) => conductor.schedules.upsert(wrong, { goal: 'g', everyMs: 1_000 }),
  'schedules.upsert a pattern': (wrong) => conductor.schedules.upsert('s', { goal: 'g', cron: wrong }),
  'schedules.upsert in a zone': (wrong) =>
    conductor.schedules.upsert('s', { goal: 'g', cron: '* * * * *', tz: wrong }),
  'schedules.upsert every so often': (wrong) =>
    conductor.schedules.upsert('s', { goal: 'g', everyMs: typeof wrong === 'number' ? '5000' : wrong }),
  'workflow.add': (wrong) => plan().add(wrong, { goal: 'b' }),
  'workflow.add dependencies': (wrong) => plan().add('b', { goal: 'b', dependsOn: wrong }),
  'workflow.addWorkflow': (wrong) => plan().addWorkflow('inner', wrong),
  'workflow.addWorkflow under a prefix': (wrong) => plan().addWorkflow(wrong, plan()),
  commandAgent: (wrong) => commandAgent({ allow: wrong }),
  enqueueChildren: (wrong) => enqueueChildren(wrong, ['child']),
};

test.each(Object.keys(CALLS))('%s refuses what it cannot use with a code', async (name) => {
  for (const wrong of WRONG) {
    const refusal = await (async () => CALLS[name]!(wrong))().then(
      () => 'taken',
      (error: unknown) => error,
    );
    expect(refusal, `${name} of ${String(wrong)}`).toBeInstanceOf(JottyError);
    expect((refusal as JottyError).code).toMatch(/^[A-Z_]+$/);
  }
  expect((await queue.listTasks()).tasks).toEqual([]);
});

test('what would be left out unnoticed is refused, with its place', async () => {
  const goals = [{ goal: 'a' }, { goal: 'b', payload: { c: 1 } }];
  await expect(conductor.enqueueGoals(goals)).rejects.toMatchObject({
    code: 'INVALID_TASK',
    path: 'tasks[1].payload',
  });
  const step = { goal: 'b', id: 'mine' };
  await expect(conductor.submit(plan().add('b', step))).rejects.toMatchObject({
    code: 'INVALID_TASK',
    path: 'tasks[1].id',
  });
  expect((await queue.listTasks()).tasks).toEqual([]);
});

test('options that are null are refused, too', async () => {
  const none = null as never;
  const refused = [
    () => queue.waitFor('nobody', none),
    () => queue.setLimit('key', none),
    () => queue.analytics(none),
    () => conductor.submit(plan(), none),
    () => conductor.inbox(none),
    () => conductor.processQueue(none),
    () => conductor.run('goal', none),
    () => conductor.schedules.upsert('s', none),
    () => plan().addWorkflow('inner', plan(), none),
    () => commandAgent(none),
  ];
  for (const call of refused)
    await expect((async () => call())(), String(call)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      path: expect.stringMatching(/^(options|limit)$/),
    });
});
