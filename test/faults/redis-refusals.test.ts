import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { StoredTaskQueue } from '../../src/queue/index.ts';
import type { RedisServer } from '../redis/redis-server.ts';
import { until } from '../redis/until.ts';
import { auditQueue } from './audit.ts';
import { onRedis, REDIS_BACKENDS } from './on-redis.ts';
import { TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const ANSWERED_WITHIN_MS = 2_500;

/** A call that still fails after so many is not served any more. */
const TRIES_MAX = 4;

interface Refusal {
  readonly provoke: (server: RedisServer) => Promise<unknown>;
  readonly heal: (server: RedisServer) => Promise<unknown>;
  /** Nobody hears of it: what was refused is done in another way. @default false */
  readonly isHidden?: boolean;
}

/** Each makes Redis refuse writes with the error it is named after. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  OOM: {
    provoke: (server) => server.ask('CONFIG', 'SET', 'maxmemory', 1),
    heal: (server) => server.ask('CONFIG', 'SET', 'maxmemory', 0),
  },
  MISCONF: {
    provoke: failToSave,
    heal: (server) => server.ask('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no'),
  },
  READONLY: {
    provoke: (server) => server.ask('REPLICAOF', '127.0.0.1', 1),
    heal: (server) => server.ask('REPLICAOF', 'NO', 'ONE'),
  },
  NOREPLICAS: {
    provoke: (server) => server.ask('CONFIG', 'SET', 'min-replicas-to-write', 1),
    heal: (server) => server.ask('CONFIG', 'SET', 'min-replicas-to-write', 0),
  },
  BUSY: { provoke: runForever, heal: (server) => server.say('SCRIPT KILL') },
  LOADING: {
    provoke: loadSlowly,
    heal: (server) => until(async () => (await server.say('PING')) === '+PONG', 'it loads'),
  },
  NOSCRIPT: {
    provoke: (server) => server.ask('SCRIPT', 'FLUSH', 'SYNC'),
    heal: async () => {},
    isHidden: true,
  },
};

const CASES = REDIS_BACKENDS.flatMap((backend) =>
  Object.keys(REFUSALS).map((name) => [backend, name] as const),
);

test.for(CASES)(
  'R23 (%s): Redis answers %s; a call does all or nothing, says so in time, and works again without a restart',
  TEST_TIMEOUT,
  async ([backend, name], { stage }) => {
    const server = await onRedis(stage, backend, { appendonly: true, appendfsync: 'always' });
    const { provoke, heal, isHidden = false } = REFUSALS[name]!;
    const queue = stage.queue({ leaseMs: 60_000, retry: { initialInterval: 10 } });
    const calls = await manyCalls(queue);
    await provoke(server);
    const asked = calls.map(answer);
    const mayWait = (index: number) => backend === 'hybrid' && HELD_BACK.includes(calls[index]!.call);
    await Promise.all(asked.filter((_, index) => !mayWait(index)));
    await heal(server);
    const answers = await Promise.all(asked);
    for (const [index, { call, ms, code }] of answers.entries()) {
      if (!mayWait(index)) expect(ms, call).toBeLessThanOrEqual(ANSWERED_WITHIN_MS);
      if (isHidden) expect(code, call).toBeUndefined();
      else if (code !== undefined) expect(code, call).toBe('STORE_UNAVAILABLE');
    }
    if (!isHidden) expect(answers.filter(({ code }) => code !== undefined).length).toBeGreaterThan(0);

    await expectAllOrNothing(stage, server, answers);
    for (const { call, run, code } of answers) {
      if (code !== undefined) await doAgain({ call, run });
    }
    const { tasks } = await auditQueue(queue);
    expect(tasks.get('held')?.status).toBe('completed');
    expect(tasks.get('failing')?.retryCount).toBe(1);
    expect(tasks.get('unwanted')?.status).toBe('cancelled');
    expect([...tasks.keys()].sort()).toEqual(
      ['failing', 'held', 'many-1', 'many-2', 'many-3', 'single', 'unwanted', 'waiting'].sort(),
    );
  },
);

/** A node with tasks in hand keeps these until Redis is back, and answers then. */
const HELD_BACK = ['settle', 'settle as failed', 'cancel', 'heartbeat', 'pause', 'resume'];

interface Call {
  readonly call: string;
  readonly run: () => Promise<unknown>;
}

/** One of each kind that writes; each may be repeated. */
async function manyCalls(queue: StoredTaskQueue): Promise<Call[]> {
  await queue.enqueueMany(['held', 'failing'].map((id) => ({ id, payload: {}, priority: 10 })));
  const [held, failing] = await queue.dequeueMany(2, undefined, { start: true });
  await queue.enqueueMany(['unwanted', 'waiting'].map((id) => ({ id, payload: {}, priority: 1 })));
  return [
    { call: 'enqueue', run: () => queue.enqueue({ id: 'single', payload: { large: 'x'.repeat(1_000) } }) },
    {
      call: 'enqueueMany',
      run: () => queue.enqueueMany([1, 2, 3].map((n) => ({ id: `many-${n}`, payload: {} }))),
    },
    { call: 'settle', run: () => queue.settle(held!, { status: 'completed', result: { words: 3 } }) },
    {
      call: 'settle as failed',
      run: () => queue.settle(failing!, { status: 'failed', error: new Error('no') }),
    },
    { call: 'cancel', run: () => queue.cancel('unwanted') },
    { call: 'heartbeat', run: () => queue.heartbeatMany([held!, failing!]) },
    { call: 'pause', run: () => queue.pause() },
    { call: 'resume', run: () => queue.resume() },
    { call: 'getTask', run: () => queue.getTask('waiting') },
  ];
}

interface Answer extends Call {
  readonly ms: number;
  readonly code?: string;
}

async function answer({ call, run }: Call): Promise<Answer> {
  const from = performance.now();
  try {
    await run();
    return { call, run, ms: performance.now() - from };
  } catch (error) {
    const { code = String(error) } = error as { code?: string };
    return { call, run, ms: performance.now() - from, code };
  }
}

/**
 * As the error says, the call is made again until it is done. A machine that is frozen, or whose disk is, for
 * longer than a call may take makes Redis unavailable once more: that is an outage of its own.
 */
async function doAgain({ call, run }: Call): Promise<void> {
  for (let tries = 1; ; tries++) {
    const { code } = await answer({ call, run });
    if (code === undefined) return;
    expect(code, `${call}, again`).toBe('STORE_UNAVAILABLE');
    expect(tries, `${call} is refused for good`).toBeLessThan(TRIES_MAX);
  }
}

/** What was refused has left no trace, and what was not is there; seen by a process that had no part in it. */
async function expectAllOrNothing(
  stage: Stage,
  server: RedisServer,
  answers: readonly Answer[],
): Promise<void> {
  const queue = stage.queue({}, server.url);
  const { tasks } = await auditQueue(queue);
  const done = (call: string) => answers.find((one) => one.call === call)?.code === undefined;
  const many = [1, 2, 3].filter((n) => tasks.has(`many-${n}`)).length;
  expect([0, 3]).toContain(many);
  if (done('enqueueMany')) expect(many).toBe(3);
  if (done('enqueue')) expect(tasks.has('single')).toBe(true);
  if (done('settle')) expect(tasks.get('held')?.status).toBe('completed');
  if (done('cancel')) expect(tasks.get('unwanted')?.status).toBe('cancelled');
}

/** Something is in the way of the dump, as a full or broken disk would be. */
async function failToSave(server: RedisServer): Promise<void> {
  mkdirSync(join(server.folder, 'dump.rdb', 'in the way'), { recursive: true });
  await server.ask('CONFIG', 'SET', 'save', '3600 1');
  await server.ask('BGSAVE');
  const failed = async () =>
    (await server.ask<string>('INFO', 'persistence')).includes('rdb_last_bgsave_status:err');
  await until(failed, 'it was saved');
}

/** A script that only reads, so that it can be ended. */
async function runForever(server: RedisServer): Promise<void> {
  await server
    .ask('CONFIG', 'SET', 'busy-reply-threshold', 10)
    .catch(() => server.ask('CONFIG', 'SET', 'lua-time-limit', 10));
  server.ask('EVAL', 'while true do end', 0).catch(() => {});
  await until(async () => (await server.say('PING'))?.startsWith('-BUSY') === true, 'nothing was busy');
}

const FILLERS = 2_500;

/** Restarts with so much to load, by debugging aids of Redis, that it takes a few seconds. */
async function loadSlowly(server: RedisServer): Promise<void> {
  await server.ask('EVAL', `for n = 1, ${FILLERS} do redis.call('SET', 'filler:' .. n, 'x') end`, 0);
  await server.ask('BGREWRITEAOF');
  const written = async () =>
    (await server.ask<string>('INFO', 'persistence')).includes('aof_rewrite_in_progress:0');
  await until(written, 'the append-only file was not rewritten');
  appendFileSync(
    join(server.folder, 'redis.conf'),
    'key-load-delay 1000\nloading-process-events-interval-bytes 1024\n',
  );
  await server.restart({ untilLoaded: false });
  expect(await server.say('PING')).toContain('-LOADING');
}
