import { expect } from 'vitest';
import type { NewTask, StoredTaskQueue } from '../../src/queue/index.ts';
import { auditQueue, expectQuiet } from './audit.ts';
import { onRedis } from './on-redis.ts';
import { type Child, eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';
import type { LogLine } from './workers/protocol.ts';

const WORKERS = 4;
/** All workers together could run more than all keys let through. */
const CONCURRENCY = 6;
const STORM_MS = scaled(3_000, 60_000);
const KILL_EVERY_MS = 300;
const LEASE_MS = scaled(1_200, 3_000);
const SWEEP_MS = 200;
/** A lease that nobody extends, the sweep that finds it, the back-off of the task, and two busy cores. */
const RECOVERED_WITHIN_MS = LEASE_MS + SWEEP_MS + 5_000;
const DRAINED_WITHIN_MS = scaled(30_000, 120_000);

const MAXIMA: Readonly<Record<string, number>> = {
  'tenant:a': 3,
  'tenant:b': 4,
  'tenant:c': 2,
  'model:x': 6,
};
const RATE = { max: 10, perMs: 800 };
/** Of what the rate allows, this much was used in spite of the kills. */
const RATE_SHARE_MIN = 0.5;

/** By the first letter of its id, what a task stays under. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  a: ['tenant:a', 'model:x'],
  b: ['tenant:b', 'model:x'],
  c: ['tenant:c'],
  d: ['tenant:b'],
  r: ['rate:r'],
};
/** So many of each are there at the start: the storm does not use them up. */
const TASKS = {
  a: scaled(160, 1_500),
  b: scaled(160, 1_500),
  c: scaled(110, 1_000),
  d: scaled(60, 500),
  r: scaled(50, 600),
};
/**
 * So many of each come after the storm, and take longer, so that every key has enough to be full again: more than
 * what runs until the leases of the last one killed are over.
 */
const MORE = scaled(60, 150);
const AFTERWARDS = ['a', 'b', 'c', 'd'];

test.for(['sqlite', 'redis', 'hybrid'] as const)(
  'R25: on %s no key lets too much through, whoever is killed, and all its places are used again',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    if (backend !== 'sqlite') await onRedis(stage, backend);
    stage.queueOptions = { leaseMs: LEASE_MS, sweepMs: SWEEP_MS, maxCrashes: 1_000, retry: SOON };
    const queue = stage.queue();
    for (const [letter, count] of Object.entries(TASKS))
      await queue.enqueueMany(tasks(stage, letter, 0, count, [20, 60]));
    const workers = await Promise.all(Array.from({ length: WORKERS }, () => spawnWorker(stage)));

    const deaths = await killFor(STORM_MS, stage, workers);
    const calmAt = Date.now();
    for (const letter of AFTERWARDS) await queue.enqueueMany(tasks(stage, letter, 10_000, MORE, [100, 200]));
    await eventually(
      () => isFull(most(stage.log(), deaths, calmAt)),
      RECOVERED_WITHIN_MS,
      () => `not all places were used again: ${JSON.stringify(most(stage.log(), deaths, calmAt))}`,
    );
    const total = Object.values(TASKS).reduce((sum, count) => sum + count, AFTERWARDS.length * MORE);
    await eventually(
      async () => (await queue.stats()).counts.completed === total,
      DRAINED_WITHIN_MS,
      () => 'the queue was not drained after the storm',
    );
    for (const worker of workers) worker.kill('SIGTERM');
    for (const worker of workers) expect(await worker.untilExit()).toEqual({ code: 0, signal: null });

    const fullest = most(stage.log(), deaths);
    for (const [key, max] of Object.entries(MAXIMA)) expect(fullest[key], `${key} at its fullest`).toBe(max);
    await expectRate(queue, stage.log({ phase: 'start' }), backend !== 'sqlite');
    const left = await queue.limits([...Object.keys(MAXIMA), 'rate:r']);
    for (const limit of left) expect(limit, 'everything has left').toMatchObject({ used: 0 });
    expectQuiet(stage);
  },
);

const SOON = { initialInterval: 20, maxInterval: 100 };

function tasks(
  stage: Stage,
  letter: string,
  from: number,
  count: number,
  ms: readonly [number, number],
): NewTask[] {
  const limits = KEYS[letter]!.map((key) =>
    key === 'rate:r' ? { key, rate: RATE } : { key, max: MAXIMA[key]! },
  );
  return Array.from({ length: count }, (_, i) => ({
    id: `${letter}-${from + i}`,
    payload: { do: 'sleep', ms: stage.random.between(...ms) },
    limits,
  }));
}

/** When each of the killed was gone, by process id; until then it counts as running what it ran. */
type Deaths = Map<number, number>;

function spawnWorker(stage: Stage): Promise<Child> {
  return stage.launch('queue-worker', { concurrency: CONCURRENCY });
}

async function killFor(ms: number, stage: Stage, workers: Child[]): Promise<Deaths> {
  const deaths: Deaths = new Map();
  const endsAt = performance.now() + ms;
  while (performance.now() < endsAt) {
    await moment(KILL_EVERY_MS);
    const index = stage.random.below(workers.length);
    const victim = workers[index]!;
    victim.kill('SIGKILL');
    await victim.exited;
    deaths.set(victim.pid, Date.now());
    workers[index] = await spawnWorker(stage);
  }
  return deaths;
}

function isFull(used: Readonly<Record<string, number>>): boolean {
  return Object.entries(MAXIMA).every(([key, max]) => used[key]! >= max);
}

/**
 * How many ran under each key at the most, since a time (ms since the epoch), by what the processes wrote as they
 * went: a line comes after the claim and before the settlement, so that the order of the lines is one in which the
 * runs were.
 */
function most(log: readonly LogLine[], deaths: Deaths, since = 0): Readonly<Record<string, number>> {
  const most: Record<string, number> = {};
  const now: Record<string, number> = {};
  const open = new Map<string, LogLine>();
  const add = (line: LogLine, change: number): void => {
    for (const key of KEYS[line.id[0]!]!) {
      now[key] = (now[key] ?? 0) + change;
      if (line.at >= since) most[key] = Math.max(most[key] ?? 0, now[key]);
    }
  };
  for (const line of log) {
    for (const [run, begun] of open) {
      if ((deaths.get(begun.pid) ?? Infinity) > line.at) continue;
      open.delete(run);
      add(begun, -1);
    }
    const run = `${line.id} ${line.pid} ${line.fence}`;
    if (line.phase === 'start') open.set(run, line);
    else open.delete(run);
    add(line, line.phase === 'start' ? 1 : -1);
  }
  return most;
}

/** A start was stored at some time between these, ms since the epoch. */
interface Start {
  readonly from: number;
  readonly by: number;
}

/** Every run has its start in a history, and no window of the rate has too many starts for certain. */
async function expectRate(queue: StoredTaskQueue, log: readonly LogLine[], isExact: boolean): Promise<void> {
  const { histories } = await auditQueue(queue);
  const ran = new Map(log.map(({ id, fence, at }) => [`${id} ${fence}`, at]));
  const lastFence = new Map<string, number>();
  for (const { id, fence = 0 } of log) lastFence.set(id, Math.max(lastFence.get(id) ?? 0, fence));
  const starts: Start[] = [];
  for (const [id, history] of histories) {
    const recorded = history.filter(({ to }) => to === 'in_progress');
    expect(lastFence.get(id) ?? 0, `starts of ${id}`).toBeLessThanOrEqual(recorded.length);
    if (!id.startsWith('r')) continue;
    // In Redis one clock says who may start, and when that was. On a file a start bears the time when it was asked
    // for, and then waits for the lock: what the run itself wrote comes after it.
    for (const [i, { at }] of recorded.entries())
      starts.push({ from: at, by: isExact ? at : (ran.get(`${id} ${i + 1}`) ?? Infinity) });
  }
  for (const { from } of starts) {
    const inWindow = starts.filter((start) => start.from >= from && start.by < from + RATE.perMs);
    expect(inWindow.length, `starts in the ${RATE.perMs} ms from ${from} on`).toBeLessThanOrEqual(RATE.max);
  }
  const times = starts.map(({ from }) => from);
  const windows = (Math.max(...times) - Math.min(...times)) / RATE.perMs;
  expect(starts.length).toBeGreaterThan(windows * RATE.max * RATE_SHARE_MIN);
}
