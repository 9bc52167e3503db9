import { expect } from 'vitest';
import { audit, expectQuiet, extraStarts } from './audit.ts';
import { type Child, eventually, moment } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { type Stage, test } from './stage.ts';

const STORM = scaled(
  { workers: 3, tasks: 240, stormMs: 3_000, leaseMs: 1_000, sweepMs: 200 },
  { workers: 6, tasks: 5_000, stormMs: 60_000, leaseMs: 3_000, sweepMs: 500 },
);
const CONCURRENCY = 5;
const KILL_EVERY_MS = 200;
const EXTRA_STARTS_MAX = 500;
const DRAINED_WITHIN_MS = 10_000;

test(
  'R02: a kill -9 storm on one SQLite file loses nothing, fails nothing and ends each task once',
  TEST_TIMEOUT,
  async ({ stage }) => {
    stage.queueOptions = { leaseMs: STORM.leaseMs, sweepMs: STORM.sweepMs };
    const workers = await Promise.all(
      Array.from({ length: STORM.workers }, () => stage.launch('queue-worker', { concurrency: CONCURRENCY })),
    );
    const enqueuer = stage.spawn('enqueuer', {
      more: {
        total: STORM.tasks,
        perSecond: (STORM.tasks / STORM.stormMs) * 1_000,
        inFlight: 10,
        msMin: 20,
        msMax: 50,
      },
    });

    const kills = await storm(stage, workers);
    await enqueuer.until('done');
    const queue = stage.queue();
    await eventually(
      async () => (await queue.stats()).counts.completed === STORM.tasks,
      DRAINED_WITHIN_MS,
      () => 'the queue was not drained after the last kill',
    );
    await Promise.all(workers.map(retire));

    const { tasks } = await audit(stage.database);
    const acknowledged = enqueuer.said('acknowledged').flatMap((message) => message.ids as string[]);
    expect(acknowledged).toHaveLength(STORM.tasks);
    for (const id of acknowledged) expect(tasks.get(id)?.status, id).toBe('completed');
    expect(extraStarts(stage)).toBeLessThanOrEqual(Math.min(kills * CONCURRENCY, EXTRA_STARTS_MAX));
    expectDistinctFences(stage);
    expectQuiet(stage);
  },
);

/** One random SIGKILL at each interval; a new process takes the dead one's place at once. Returns how many died. */
async function storm(stage: Stage, workers: Child[]): Promise<number> {
  const endsAt = performance.now() + STORM.stormMs;
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
