import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AIMessage } from '@langchain/core/messages';
import { fakeModel } from '@langchain/core/testing';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { afterEach, describe, expect, test } from 'vitest';
import { Conductor, type EventsOptions, RUN_LOG_EVENTS_MAX, type TaskLifeEvent } from '../../src/index.ts';
import { RunLog } from '../../src/orchestration/run-log.ts';
import { LOG_ENTRIES_MAX, type LogPage, MemoryTaskQueue, type TaskQueue } from '../../src/queue/index.ts';
import { FakeClock } from '../../src/testing/index.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { openQueue, slowSteps } from './events-stage.ts';
import { deferred, threeSteps, twoQuestions } from './graphs.ts';

async function read(conductor: Conductor, id: string, options: EventsOptions = {}): Promise<TaskLifeEvent[]> {
  const events: TaskLifeEvent[] = [];
  for await (const event of conductor.events(id, options)) events.push(event);
  return events;
}

/** What the events say, in a word each. */
function words(events: readonly TaskLifeEvent[]): string[] {
  return events.map((event) => {
    if (event.type === 'transition') return event.to;
    if (event.type === 'node') return `${event.node} ${event.phase}`;
    if (event.type === 'gap') return `gap ${event.from}–${event.to}`;
    return event.type;
  });
}

function numbers(events: readonly TaskLifeEvent[]): number[] {
  return events.map(({ number }) => number);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

const NODES = ['first', 'second', 'third'].flatMap((node) => [`${node} started`, `${node} ended`]);

describe('the life of a task', () => {
  test('is one numbered stream, the same for who reads along and who comes late', async () => {
    await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() } });
    const id = await conductor.enqueueGoal('go');
    const along = read(conductor, id);
    await conductor.processQueue({ untilEmpty: true });
    const late = await read(conductor, id);
    expect(words(late)).toEqual(['pending', 'in_progress', ...NODES, 'completed']);
    expect(numbers(late)).toEqual(upTo(9));
    expect(await along).toEqual(late);
  });

  test('is read from any number on', async () => {
    await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() } });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    const all = await read(conductor, id);
    for (let since = 0; since <= all.length; since++)
      expect(await read(conductor, id, { since })).toEqual(all.slice(since));
  });

  test('goes on with its numbers over retries, and each attempt shows what it did', async () => {
    let attempts = 0;
    const second = () => {
      if (++attempts < 3) throw new Error('not yet');
    };
    await using queue = new MemoryTaskQueue({ retry: { initialInterval: 0, jitter: false } });
    await using conductor = new Conductor({ agents: { steps: threeSteps([], { second }).compile() }, queue });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    const events = await read(conductor, id);
    const failed = ['second started', 'second ended', 'retrying', 'in_progress'];
    expect(words(events)).toEqual([
      ...['pending', 'in_progress', ...NODES.slice(0, 2), ...failed, ...failed],
      ...[...NODES.slice(2), 'completed'],
    ]);
    expect(numbers(events)).toEqual(upTo(events.length));
    expect(events.filter((event) => event.type === 'node' && event.error === 'not yet')).toHaveLength(2);
  });

  test('has its questions, and what the run did before them', async () => {
    await using conductor = new Conductor({ agents: { ask: twoQuestions() } });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    const [question] = (await conductor.queue.getTask(id))?.interrupts ?? [];
    const events: TaskLifeEvent[] = [];
    for await (const event of conductor.events(id)) {
      events.push(event);
      if (event.type === 'transition' && event.to === 'waiting') break;
    }
    expect(words(events).slice(-2)).toEqual(['interrupt', 'waiting']);
    expect(events.at(-2)).toMatchObject({ id: question!.id, value: 'name?' });
  });

  test('has usage, and updates and tokens where they are wanted', async () => {
    const model = fakeModel().respond(new AIMessage('Good day')).respond(new AIMessage('Good day'));
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('say', async ({ messages }) => {
        const message = await model.invoke(messages);
        return { messages: [message] };
      })
      .addEdge(START, 'say')
      .addEdge('say', END)
      .compile();
    await using conductor = new Conductor({ agents: { graph } });
    const [plain, full] = [await conductor.enqueueGoal('hi'), await conductor.enqueueGoal('hi')];
    const along = read(conductor, full, { tokens: true, updates: true });
    await conductor.processQueue({ untilEmpty: true });
    const run = (inside: string[]) => ['pending', 'in_progress', 'say started', ...inside, 'completed'];
    // Usage is told when it is known; what the graph's stream tells may come a turn later.
    expect(words(await read(conductor, plain)).sort()).toEqual(run(['usage', 'say ended']).sort());
    const events = await along;
    expect([...words(events)].sort()).toEqual(run(['usage', 'token', 'update', 'say ended']).sort());
    expect(events.find(({ type }) => type === 'token')).toMatchObject({ node: 'say', text: 'Good day' });
    // It was recorded: who comes later has it too.
    expect(await read(conductor, full)).toEqual(events);
  });

  test('has tokens in the stream of a run without a queue, where they are wanted', async () => {
    const model = fakeModel().respond(new AIMessage('Good day')).respond(new AIMessage('Good day'));
    const say = async ({ messages }: typeof MessagesAnnotation.State) => ({
      messages: [await model.invoke(messages)],
    });
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('say', say)
      .addEdge(START, 'say')
      .addEdge('say', END)
      .compile();
    await using conductor = new Conductor({ agents: { graph } });
    for (const tokens of [false, true]) {
      const texts: string[] = [];
      for await (const event of conductor.stream('hi', { tokens }))
        if (event.type === 'token') texts.push(event.text);
      expect(texts.join('')).toBe(tokens ? 'Good day' : '');
    }
  });

  test('ends for its readers with the signal, and with the task', async () => {
    await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() } });
    const id = await conductor.enqueueGoal('go');
    const controller = new AbortController();
    const reading = read(conductor, id, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await conductor.cancel(id);
    expect(words(await read(conductor, id))).toEqual(['pending', 'cancelled']);
    await expect(read(conductor, 'unknown')).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  });

  test('is gone with the purge', async () => {
    const clock = new FakeClock();
    await using queue = new MemoryTaskQueue({ clock, retentionMs: 1_000, sweepMs: 100 });
    await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() }, queue });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    expect(await read(conductor, id)).toHaveLength(9);
    await clock.advance(5_000);
    await expect(read(conductor, id)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  });
});

describe('a flood of events', () => {
  const flood = (count: number) =>
    threeSteps([], {
      second: (_state, config) => {
        const { writer } = config as { writer?: (chunk: unknown) => void };
        for (let i = 0; i < count; i++) writer?.(i);
      },
    }).compile();

  test('that the run outran is a gap, with the numbers that are missing', async () => {
    await using conductor = new Conductor({ agents: { steps: flood(RUN_LOG_EVENTS_MAX + 500) } });
    const id = await conductor.enqueueGoal('go');
    await conductor.processQueue({ untilEmpty: true });
    const events = await read(conductor, id);
    const gap = events.find(({ type }) => type === 'gap');
    expect(gap).toMatchObject({ type: 'gap', from: RUN_LOG_EVENTS_MAX + 3 });
    const { from, to, missed, number } = gap as Extract<TaskLifeEvent, { type: 'gap' }>;
    expect(missed).toBe(to! - from! + 1);
    expect(number).toBe(to);
    expect(numbers(events)).toEqual([
      ...upTo(from! - 1),
      ...upTo(number + events.length - from!).slice(to! - 1),
    ]);
    expect(words(events).slice(-4)).toEqual(['second ended', 'third started', 'third ended', 'completed']);
    for (const since of [from! - 2, from! - 1, from!, to!, to! + 1]) {
      const [next] = await read(conductor, id, { since });
      if (since < from! - 1) expect(next!.number).toBe(since + 1);
      else if (since < to!) expect(next).toMatchObject({ type: 'gap', from: since + 1, to });
      else expect(next!.number).toBe(since + 1);
    }
  });

  test('between the two reads of a reader changes no number', async () => {
    await using queue = new MemoryTaskQueue();
    await using conductor = new Conductor({ agents: { steps: flood(0) }, queue });
    const id = await queue.enqueue({ payload: {}, maxRetries: 9 });
    const line = (data: number) => ({ count: 1, text: JSON.stringify({ type: 'custom', data }) });
    let round = 0;
    // After each look at the history a whole attempt goes by, before the log is looked at.
    const meddling = new Proxy(queue, {
      get(target, key) {
        if (key !== 'history') {
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? value.bind(target) : value;
        }
        return async (taskId: string) => {
          const history = await target.history(taskId);
          const task = round++ < 5 ? await target.dequeue({}, { start: true }) : null;
          if (task === null) return history;
          await target.appendLogs([{ id, fence: task.lease!.fence, pages: [line(round), line(round)] }]);
          const outcome = round < 5 ? ({ status: 'released' } as const) : ({ status: 'completed' } as const);
          await target.settle(task, { ...outcome, log: [line(round)] });
          return history;
        };
      },
    });
    const along = await read(new Conductor({ agents: { steps: flood(0) }, queue: meddling }), id);
    expect(numbers(along)).toEqual(upTo(along.length));
    expect(along).toEqual(await read(conductor, id));
    expect(along).toHaveLength(1 + 5 * 5);
  });

  test('leaves a slow reader behind, and never holds up the run', async () => {
    await using queue = new MemoryTaskQueue();
    await using conductor = new Conductor({ agents: { steps: flood(0) }, queue });
    const id = await queue.enqueue({ payload: {} });
    const task = (await queue.dequeue({}, { start: true }))!;
    const reader = conductor.events(id);
    expect((await reader.next()).value).toMatchObject({ number: 1, to: 'pending' });
    const page = (from: number): LogPage => ({
      count: 1_000,
      text: Array.from({ length: 1_000 }, (_, i) => JSON.stringify({ type: 'custom', data: from + i })).join(
        '\n',
      ),
    });
    const { fence } = task.lease!;
    for (let from = 1; from <= 2 * LOG_ENTRIES_MAX; from += 1_000)
      await queue.appendLogs([{ id, fence, pages: [page(from)] }]);
    await queue.settle(task, { status: 'completed' });
    const rest: TaskLifeEvent[] = [];
    for await (const event of reader) rest.push(event);
    expect(rest[0]).toMatchObject({ to: 'in_progress', number: 2 });
    expect(rest[1]).toMatchObject({ type: 'gap', from: 3, to: LOG_ENTRIES_MAX + 2 });
    expect(rest[2]).toMatchObject({ data: LOG_ENTRIES_MAX + 1, number: LOG_ENTRIES_MAX + 3 });
    expect(rest).toHaveLength(2 + LOG_ENTRIES_MAX + 1);
    expect(rest.at(-1)).toMatchObject({ to: 'completed', number: 2 * LOG_ENTRIES_MAX + 3 });
  });
});

describe('what a run does while the store is away', () => {
  const custom = (data: number) => ({ type: 'custom', data, namespace: [], at: 0 }) as const;
  const data = (pages: readonly LogPage[] | undefined) =>
    (pages ?? []).flatMap(({ text }) =>
      text.split('\n').map((line) => (JSON.parse(line) as { data: number }).data),
    );

  test('is kept and written later, in order', async () => {
    let pending = 0;
    const log = new RunLog('t', 1, () => pending++);
    log.record(custom(1));
    const refused = deferred<boolean>();
    const flush = log.flush(() => refused.promise.then(() => Promise.reject(new Error('away'))));
    log.record(custom(2));
    const rest = log.rest();
    refused.resolve(true);
    await flush;
    expect(pending).toBe(3);
    expect(data(await rest)).toEqual([1, 2]);
  });

  test('is dropped where the run is no longer its task’s', async () => {
    const log = new RunLog('t', 1, () => {});
    log.record(custom(1));
    await log.flush(async () => false);
    log.record(custom(2));
    expect(log.rest()).toBeUndefined();
  });
});

const redis = sharedRedis();

describe.each(['sqlite', 'redis', 'hybrid'])('several processes on %s', (backend) => {
  const folder = mkdtempSync(join(tmpdir(), 'jotty-events-'));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('read what a short run did, which was written with its end alone', async () => {
    const location = backend === 'sqlite' ? join(folder, 'short.db') : redis.url;
    const prefix = redis.prefix();
    await using queue: TaskQueue = openQueue(backend, location, prefix);
    await using conductor = new Conductor({ agents: { steps: threeSteps([]).compile() }, queue });
    const ids = await conductor.enqueueGoals(['one', 'two', 'three']);
    await conductor.processQueue({ untilEmpty: true });
    for (const id of ids) {
      const events = await read(conductor, id);
      expect(words(events)).toEqual(['pending', 'in_progress', ...NODES, 'completed']);
      expect(numbers(events)).toEqual(upTo(9));
    }
  });

  test('read one stream, over kill -9 of the worker, without loss and without doubling', async () => {
    const location = backend === 'sqlite' ? join(folder, 'tasks.db') : redis.url;
    const prefix = redis.prefix();
    const worker = fileURLToPath(new URL('./events-worker.ts', import.meta.url));
    await using queue: TaskQueue = openQueue(backend, location, prefix);
    await using conductor = new Conductor({ agents: { steps: slowSteps(async () => {}) }, queue });
    const id = await conductor.enqueueGoal('go');
    const child = spawn(process.execPath, ['--import', 'tsx', worker, backend, location, prefix], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const seen: TaskLifeEvent[] = [];
    for await (const event of conductor.events(id)) {
      seen.push(event);
      if (event.type === 'custom') break;
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(words(seen)).toEqual([
      'pending',
      'in_progress',
      'first started',
      'first ended',
      'second started',
      'custom',
    ]);
    const reconnected = read(conductor, id, { since: seen.at(-1)!.number });
    await conductor.processQueue({ untilEmpty: true });
    seen.push(...(await reconnected));
    expect(numbers(seen)).toEqual(upTo(seen.length));
    expect(words(seen).slice(6)).toEqual([
      'retrying',
      'in_progress',
      'second started',
      'custom',
      'second ended',
      'third started',
      'third ended',
      'completed',
    ]);
    await using other = openQueue(backend, location, prefix);
    expect(await read(new Conductor({ agents: {} as never, queue: other }), id)).toEqual(seen);
  });
});
