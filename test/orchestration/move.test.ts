import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Conductor, type ConductorOptions, type TaskLifeEvent, Workflow } from '../../src/index.ts';
import { RedisTaskQueue, SQLiteTaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { threeSteps, twoQuestions } from './graphs.ts';

const redis = sharedRedis();
const durability = { atLeast: 'none' } as const;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jotty-move-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const file = (options: object = {}) => new SQLiteTaskQueue({ path: join(folder, 'tasks.db'), ...options });
const server = (prefix: string, options: object = {}) =>
  new RedisTaskQueue({ url: redis.url, prefix, durability, ...options });

const Said = Annotation.Root({
  goal: Annotation<string>,
  said: Annotation<string[]>({ reducer: (left, right) => [...left, ...right], default: () => [] }),
});
/** Each turn adds its goal to what was said before on its thread. */
const talk = new StateGraph(Said)
  .addNode('turn', ({ goal }) => ({ said: [goal] }))
  .addEdge(START, 'turn')
  .compile();

function agents(log: string[] = []): ConductorOptions['agents'] {
  const echo = ({ goal }: { goal?: string }) => ({ goal: goal ?? null });
  return { talk, ask: twoQuestions(), steps: threeSteps(log).compile(), echo: { invoke: echo } };
}

async function eventsOf(conductor: Conductor, id: string): Promise<TaskLifeEvent[]> {
  const events: TaskLifeEvent[] = [];
  for await (const event of conductor.events(id)) events.push(event);
  return events;
}

const release = () =>
  new Workflow('release')
    .add('build', { goal: 'build', agent: 'echo' })
    .add('gate', { approval: { question: 'Ship it?' }, dependsOn: ['build'] })
    .add('ship', { goal: 'ship', agent: 'echo', dependsOn: ['gate'] });

test('from SQLite to Redis: a workflow, its approval, a conversation, a rerun and their events go on as they stood', async () => {
  await using source = file();
  await using target = server(redis.prefix());
  const log: string[] = [];
  const old = new Conductor({ agents: agents(log), queue: source });
  await old.submit(release(), { id: 'waits' });
  await old.enqueueGoals(
    ['one', 'two'].map((goal) => ({ goal, id: goal, agent: 'talk', threadId: 'talk-1' })),
  );
  const steps = await old.enqueueGoal('go', { agent: 'steps' });
  await old.processQueue({ untilEmpty: true, maxConcurrent: 1 });
  // None of these has run when it is moved.
  await old.submit(release(), { id: 'fresh' });
  await old.enqueueGoal('three', { id: 'three', agent: 'talk', threadId: 'talk-1' });
  const afterFirst = (await old.checkpoints(steps)).at(-3)!.id;
  await old.rerun(steps, { from: afterFirst, id: 'again' });
  const [entry] = (await old.inbox()).entries;
  const events = await eventsOf(old, steps);
  await old.close();
  log.length = 0;

  expect(await source.moveTo(target)).toMatchObject({ conflicts: [] });
  await using conductor = new Conductor({ agents: agents(log), queue: target });
  expect((await conductor.inbox()).entries).toEqual([entry]);
  expect(await eventsOf(conductor, steps)).toEqual(events);
  await conductor.approve('waits:gate', { by: 'ann', hash: (entry as { hash: string }).hash });
  await conductor.processQueue({ untilEmpty: true, maxConcurrent: 1 });
  expect(await (await conductor.workflow('waits')).status()).toMatchObject({ status: 'completed' });
  expect(await (await conductor.workflow('fresh')).status()).toMatchObject({
    status: 'waiting',
    tasks: { build: { status: 'completed' }, gate: { status: 'waiting' } },
  });
  expect(await conductor.result('three')).toMatchObject({ said: ['one', 'two', 'three'] });
  // From where it was told to, not from its beginning.
  expect(await conductor.result('again')).toMatchObject({ notes: ['first', 'second', 'third'] });
  expect(log).toEqual(['second', 'third']);
});

test('a schedule ticks in one place: each of its ticks is one task, before the move or after it', async () => {
  const clock = new FakeClock();
  await using source = file({ clock });
  await using target = server(redis.prefix(), { clock });
  await using old = new Conductor({ agents: agents(), queue: source });
  await using conductor = new Conductor({ agents: agents(), queue: target });
  await old.schedules.upsert('minutely', {
    goal: 'tick',
    agent: 'echo',
    everyMs: 60_000,
    catchUp: 'all',
    overlap: 'queue',
  });
  await old.schedules.upsert('paused', { goal: 'never', everyMs: 60_000 });
  await old.schedules.pause('paused');
  const since = clock.now();
  const minutes = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await clock.advance(60_000);
      for (const one of [old, conductor]) await one.processQueue({ untilEmpty: true, maxTasks: 10 });
    }
  };
  await minutes(2);
  await source.moveTo(target);
  await minutes(2);
  expect((await old.schedules.list()).map(({ id, isPaused }) => [id, isPaused])).toEqual([
    ['minutely', true],
    ['paused', true],
  ]);
  expect(await conductor.schedules.list()).toMatchObject([
    { id: 'minutely', everyMs: 60_000, isPaused: false },
    { id: 'paused', isPaused: true },
  ]);
  const ids = (queue: SQLiteTaskQueue | RedisTaskQueue) =>
    queue.listTasks().then(({ tasks }) => tasks.map(({ id }) => id));
  expect(await ids(target)).toEqual([1, 2, 3, 4].map((n) => `schedule:minutely:${since + n * 60_000}`));
  expect(await ids(source)).toHaveLength(2);
});
