import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type * as Jotty from '../../src/index.ts';
import type * as Queues from '../../src/queue/index.ts';
import { compiledWorker } from './compiled.ts';
import { eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';

/** Compiled, as an app has it: through a loader each thread and process would take seconds to start. */
const MODULE = compiledWorker('isolated-graphs');
const compiled = (path: string) => import(pathToFileURL(join(MODULE, '../../../../src', path)).href);
const { Conductor } = (await compiled('index.js')) as typeof Jotty;
const { SQLiteTaskQueue } = (await compiled('queue/index.js')) as typeof Queues;

/** Both are the same code beside their start and end, which the tests of lone agents try in both. */
const WHERE = scaled(['process'] as const, ['thread', 'process'] as const);

let folder: string;
let file: string;
const endings: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jotty-parts-'));
  file = join(folder, 'log');
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true });
});

const told = () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);

/** A team of isolated agents, in this order. */
function conduct(
  where: 'thread' | 'process' | undefined,
  names: readonly string[],
  plan: unknown = names,
  more: Readonly<Record<string, object>> = {},
) {
  const queue = new SQLiteTaskQueue({ path: join(folder, 'tasks.db'), retry: { initialInterval: 10 } });
  endings.push(() => queue.close());
  const isolation = where && { in: where, graceMs: 300, maxMemoryMb: 128 };
  const agents = Object.fromEntries(
    names.map((name) => [
      name,
      { module: MODULE, export: name, ...(isolation && { isolation }), ...more[name] },
    ]),
  );
  const conductor = new Conductor({ agents, queue, mode: 'static', plan: plan as never });
  endings.push(() => conductor.close());
  const enqueue = (more: object = {}) =>
    conductor.enqueueGoal('go', { id: 'team', input: { file }, ...more });
  const answer = async (asked: string, value: string) => {
    const open = (await queue.getTask('team'))!.interrupts ?? [];
    await conductor.answer('team', open.find((question) => question.value === asked)!.id, value as never);
  };
  const run = () => conductor.processQueue({ untilEmpty: true });
  return { queue, conductor, enqueue, answer, run };
}

describe.each<'thread' | 'process'>(WHERE)('a part of a team in a %s', (where) => {
  test.each(['dies', 'bursts'])(
    'that %s goes on in its node that fell, and the agents before it do not run again',
    async (last) => {
      const { conductor, queue, enqueue, run } = conduct(where, ['first', last]);
      await enqueue();
      await run();
      expect(await conductor.result('team')).toMatchObject({
        path: ['first', last],
        results: { [last]: { answer: 'alive' } },
      });
      const before = ['first.a', 'first.b', 'first.c', `${last}.a`, `${last}.b`];
      expect(told()).toEqual([...before, `${last}.b`, `${last}.c`]);
      expect((await queue.history('team')).filter(({ to }) => to === 'retrying')).toHaveLength(1);
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'asks, is answered by id, and goes on there, also beside another that asks',
    async () => {
      const { conductor, queue, enqueue, answer, run } = conduct(
        where,
        ['interviews', 'asks', 'first'],
        [['interviews', 'asks'], 'first'],
      );
      await enqueue();
      expect(await run()).toMatchObject({ waiting: 1, failed: 0 });
      expect((await queue.getTask('team'))!.interrupts).toHaveLength(2);
      await answer('which?', 'this');
      await run();
      await answer('name?', 'Ada');
      await run();
      const asked = (await queue.getTask('team'))!.interrupts!;
      expect(asked.map(({ value }) => value)).toEqual(['Ada, why?']);
      await answer('Ada, why?', 'because');
      expect(await run()).toMatchObject({ completed: 1 });
      expect(await conductor.result('team')).toMatchObject({
        results: { interviews: { answer: 'Ada because' }, asks: { answer: 'true' } },
      });
      expect(told().filter((line) => line === 'interviews.a')).toHaveLength(1);
      expect(told().filter((line) => line.startsWith('first'))).toHaveLength(3);
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'is drained at its next step, and goes on there',
    async () => {
      const { conductor, queue, enqueue, run } = conduct(where, ['pauses']);
      await enqueue();
      const stop = new AbortController();
      const loop = conductor.processQueue({ signal: stop.signal });
      const isThere = () => told().includes('pauses.b');
      await eventually(isThere, 20_000, () => 'it did not begin');
      stop.abort();
      await loop;
      expect(told()).toEqual(['pauses.a', 'pauses.b']);
      expect(await queue.getTask('team')).toMatchObject({ status: 'pending', retryCount: 0, crashes: 0 });
      await run();
      expect(told()).toEqual(['pauses.a', 'pauses.b', 'pauses.c']);
      expect(await conductor.result('team')).toMatchObject({ path: ['pauses'] });
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'leaves a call in doubt to a person, and takes the decision',
    async () => {
      const { conductor, queue, enqueue, run } = conduct(where, ['doubts']);
      await enqueue();
      expect(await run()).toMatchObject({ waiting: 1 });
      const [question] = (await queue.getTask('team'))!.interrupts!;
      await conductor.answer('team', question!.id, { happened: { receipt: 7 } });
      await run();
      expect(await conductor.result('team')).toMatchObject({
        results: { doubts: { answer: '{"receipt":7}' } },
      });
      expect(told()).toEqual(['doubts.a', 'doubts.b', 'paying', 'doubts.b', 'doubts.b', 'doubts.c']);
    },
    TEST_TIMEOUT.timeout,
  );

  test.each(['cancel', 'timeout', 'sibling'])(
    'that heeds nothing is killed after its grace: %s',
    async (by) => {
      const plan = by === 'sibling' ? [['deaf', 'failsBeside']] : ['deaf'];
      const more = by === 'timeout' ? { deaf: { timeoutMs: 8_000 } } : {};
      const { conductor, queue, enqueue } = conduct(where, ['deaf', 'failsBeside'], plan, more);
      await enqueue({ maxRetries: 0 });
      const loop = conductor.processQueue({ maxTasks: 1 });
      const isThere = () => told().includes('alive');
      await eventually(isThere, 20_000, () => 'it did not begin');
      if (by === 'cancel')
        expect(await conductor.cancel('team', { graceMs: 50 })).toMatchObject({ run: 'killed' });
      await loop;
      expect((await queue.getTask('team'))!.status).toBe(by === 'cancel' ? 'cancelled' : 'failed');
      const isStill = async () => {
        const before = told().length;
        await moment(200);
        return told().length === before;
      };
      await eventually(isStill, 5_000, () => 'it lives on');
    },
    TEST_TIMEOUT.timeout,
  );

  test(
    'tells its nodes in its namespace, and its steps count',
    async () => {
      const { conductor, enqueue, run } = conduct(where, ['first']);
      await enqueue({ budget: { steps: 2 } });
      expect(await run()).toMatchObject({ waiting: 1 });
      expect(told()).toEqual(['first.a', 'first.b']);
      await conductor.budget('team').raise({ steps: 99 });
      await run();
      expect(told()).toEqual(['first.a', 'first.b', 'first.c']);
      const nodes: string[] = [];
      for await (const event of conductor.events('team'))
        if (event.type === 'node' && event.phase === 'ended')
          nodes.push(`${event.namespace.map((at) => at.split(':')[0]).join('.')} ${event.node}`);
      expect(nodes.filter((node) => node.startsWith('first '))).toEqual(['first a', 'first b', 'first c']);
    },
    TEST_TIMEOUT.timeout,
  );
});

test.each<'thread' | 'process' | undefined>([undefined, ...WHERE])(
  'tokens of its models are told where somebody reads them, in isolation %s',
  async (where) => {
    const { conductor, enqueue, run } = conduct(where, ['speaks', 'plain']);
    await enqueue();
    const reading = (async () => {
      const heard: string[] = [];
      for await (const event of conductor.events('team', { tokens: true })) {
        if (event.type !== 'token') continue;
        const [path = ''] = event.namespace.map((at) => at.split(':')[0]);
        heard.push(`${path}.${event.node}: ${event.text}`);
      }
      return heard;
    })();
    await run();
    const heard = await reading;
    expect(new Set(heard.map((said) => said.split(':')[0]))).toEqual(new Set(['speaks.b']));
    expect(heard.map((said) => said.split(': ')[1]).join('')).toBe('by and by');
    expect(await conductor.result('team')).toMatchObject({ path: ['speaks', 'plain'] });
  },
  TEST_TIMEOUT.timeout,
);

test.each<'thread' | 'process' | undefined>([undefined, ...WHERE])(
  'what its module says of an agent holds in a team, in isolation %s',
  async (where) => {
    const { conductor, enqueue, run } = conduct(where, ['dressed', 'chats', 'duo']);
    await enqueue();
    await run();
    const result = await conductor.result('team');
    expect(result).toMatchObject({
      path: ['dressed', 'chats', 'duo'],
      results: { dressed: { said: 'dear go!' }, duo: { path: ['first', 'plain'] } },
    });
    expect(JSON.stringify(result)).toContain('heard go');
    expect(told().filter((line) => line.startsWith('first'))).toEqual(['first.a', 'first.b', 'first.c']);
  },
  TEST_TIMEOUT.timeout,
);

test(
  'a team that is a part in a process goes on in its own second agent',
  async () => {
    const { conductor, enqueue, run } = conduct('process', ['pair']);
    await enqueue();
    await run();
    expect(await conductor.result('team')).toMatchObject({ results: { pair: { path: ['first', 'dies'] } } });
    const before = ['first.a', 'first.b', 'first.c', 'dies.a', 'dies.b'];
    expect(told()).toEqual([...before, 'dies.b', 'dies.c']);
  },
  TEST_TIMEOUT.timeout,
);

test(
  'a conductor that closes ends the processes that its team has kept for a next run',
  async () => {
    const { conductor, enqueue, run } = conduct('process', ['call', 'plain']);
    await enqueue();
    await run();
    const { results } = await conductor.result<{ results: { call: { pid: number } } }>('team');
    expect(() => process.kill(results.call.pid, 0)).not.toThrow();
    await conductor.close();
    expect(() => process.kill(results.call.pid, 0)).toThrow('ESRCH');
  },
  TEST_TIMEOUT.timeout,
);
