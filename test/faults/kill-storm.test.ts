import { expect } from 'vitest';
import { type Audit, audit, auditQueue, expectQuiet, extraStarts } from './audit.ts';
import { onRedis, REDIS_BACKENDS } from './on-redis.ts';
import { type Child, eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

interface Storm {
  readonly workers: number;
  readonly tasks: number;
  readonly stormMs: number;
  readonly leaseMs: number;
  readonly sweepMs: number;
}

const SHORT: Storm = { workers: 3, tasks: 240, stormMs: 3_000, leaseMs: 1_000, sweepMs: 200 };
const FULL: Omit<Storm, 'workers' | 'tasks'> = { stormMs: 60_000, leaseMs: 3_000, sweepMs: 500 };
const ON_SQLITE = scaled(SHORT, { ...FULL, workers: 6, tasks: 5_000 });
const ON_REDIS = scaled(SHORT, { ...FULL, workers: 10, tasks: 10_000 });
const CONCURRENCY = 5;
const KILL_EVERY_MS = 200;
const EXTRA_STARTS_MAX = 500;
const DRAINED_WITHIN_MS = 10_000;

test(
  'R02: a kill -9 storm on one SQLite file loses nothing, fails nothing and ends each task once',
  TEST_TIMEOUT,
  async ({ stage }) => {
    await weather(stage, ON_SQLITE, () => audit(stage.database));
  },
);

test.for(REDIS_BACKENDS)(
  'R01: a kill -9 storm on %s loses nothing, fails nothing and ends each task once',
  TEST_TIMEOUT,
  async (backend, { stage }) => {
    await onRedis(stage, backend);
    await weather(stage, ON_REDIS, () => auditQueue(stage.queue()));
  },
);

async function weather(stage: Stage, storm: Storm, inspect: () => Promise<Audit>): Promise<void> {
  const { leaseMs, sweepMs } = storm;
  stage.queueOptions = { leaseMs, sweepMs };
  const workers = await Promise.all(
    Array.from({ length: storm.workers }, () => stage.launch('queue-worker', { concurrency: CONCURRENCY })),
  );
  const enqueuer = stage.spawn('enqueuer', {
    more: {
      total: storm.tasks,
      perSecond: (storm.tasks / storm.stormMs) * 1_000,
      inFlight: 10,
      msMin: 20,
      msMax: 50,
    },
  });

  const kills = await killFor(storm.stormMs, stage, workers);
  await enqueuer.until('done');
  const queue = stage.queue();
  await eventually(
    async () => (await queue.stats()).counts.completed === storm.tasks,
    DRAINED_WITHIN_MS,
    () => 'the queue was not drained after the last kill',
  );
  await Promise.all(workers.map(retire));

  const { tasks } = await inspect();
  const acknowledged = enqueuer.said('acknowledged').flatMap((message) => message.ids as string[]);
  expect(acknowledged).toHaveLength(storm.tasks);
  for (const id of acknowledged) expect(tasks.get(id)?.status, id).toBe('completed');
  expect(extraStarts(stage)).toBeLessThanOrEqual(Math.min(kills * CONCURRENCY, EXTRA_STARTS_MAX));
  expectDistinctFences(stage);
  expectQuiet(stage);
}

/** One random SIGKILL at each interval; a new process takes the dead one's place at once. Returns how many died. */
async function killFor(ms: number, stage: Stage, workers: Child[]): Promise<number> {
  const endsAt = performance.now() + ms;
  let kills = 0;
  while (performance.now() < endsAt) {
    await moment(KILL_EVERY_MS);
    const victim = stage.random.below(workers.length);
    workers[victim]!.kill('SIGKILL');
    workers[victim] = stage.spawn('queue-worker', { concurrency: CONCURRENCY });
    kills++;
  }
  return kills;
}

async function retire(worker: Child): Promise<void> {
  await worker.until('ready');
  worker.kill('SIGTERM');
  expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
}

/** Two runs of one task never have the same right to it. */
function expectDistinctFences(stage: Stage): void {
  const starts = stage.log({ phase: 'start' }).map((line) => `${line.id} under fence ${line.fence}`);
  expect(new Set(starts).size).toBe(starts.length);
}
