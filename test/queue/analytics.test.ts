import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ANALYTICS_FLUSH_MS } from '../../src/queue/analytics-log.ts';
import { MemoryTaskQueue, SQLiteTaskQueue, type TaskQueue } from '../../src/queue/index.ts';
import { count, merge, Sketch, spreadOf } from '../../src/queue/sketch.ts';
import { FakeClock, seededRandom } from '../../src/testing/index.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Runs the next task for `ms` on the agent. */
async function run(queue: TaskQueue, clock: FakeClock, agent: string, ms: number, isSuccess = true) {
  const task = (await queue.dequeue({}, { start: true }))!;
  await clock.advance(ms);
  const assignment = { agent, scores: [] };
  if (isSuccess) await queue.settle(task, { status: 'completed' }, assignment);
  else await queue.settle(task, { status: 'failed', error: new Error('no'), retry: false }, assignment);
}

test('a window has what was submitted, run and ended in it, by status, priority and agent', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock, leaseMs: HOUR });
  await queue.enqueueMany([
    { payload: {}, priority: 9 },
    { payload: {} },
    { payload: {} },
    { payload: {}, priority: 1 },
  ]);
  await run(queue, clock, 'writer', 10_000);
  await run(queue, clock, 'writer', 20_000, false);
  await run(queue, clock, 'constructor', 30_000);
  const [last] = (await queue.listTasks({ status: 'pending' })).tasks;
  await queue.cancel(last!.id);
  const seen = await queue.analytics({ windowMs: HOUR });
  expect(seen).toMatchObject({
    submitted: 4,
    counts: { completed: 2, failed: 1, cancelled: 1, pending: 0 },
    ended: { completed: 2, failed: 1, cancelled: 1, skipped: 0 },
    byPriority: {
      1: { submitted: 1, ended: 1 },
      5: { submitted: 2, ended: 2 },
      9: { submitted: 1, ended: 1 },
    },
    queueTime: { count: 3, meanMs: 40_000 / 3, maxMs: 30_000 },
    runTime: { count: 3, meanMs: 20_000, maxMs: 30_000 },
    errorRate: 1 / 3,
    agents: { writer: { runs: 2, failed: 1, busyMs: 30_000 }, constructor: { runs: 1, busyMs: 30_000 } },
  });
  expect(seen.throughputPerHour).toBeCloseTo((3 * HOUR) / (seen.to - seen.from), 6);
  expect(seen.agents.writer!.utilisation).toBeCloseTo(30_000 / (seen.to - seen.from), 6);
});

test('windows slide: what is older than they reach is not in them, and gone after a day', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock });
  for (let hour = 0; hour < 3; hour++) {
    await queue.enqueue({ payload: {} });
    await run(queue, clock, 'writer', 1_000);
    await clock.advance(HOUR);
  }
  const completed = async (windowMs: number) => (await queue.analytics({ windowMs })).ended.completed;
  expect(await Promise.all([MINUTE, 1.5 * HOUR, 2.5 * HOUR, 24 * HOUR].map(completed))).toEqual([0, 1, 2, 3]);
  await clock.advance(21.5 * HOUR);
  expect(await completed(24 * HOUR)).toBe(2);
  await clock.advance(3 * HOUR);
  expect(await completed(24 * HOUR)).toBe(0);
  await expect(queue.analytics({ windowMs: 25 * HOUR })).rejects.toThrow('windowMs');
  await expect(queue.analytics({ windowMs: 59_999 })).rejects.toThrow('windowMs');
});

test('a long run is told in the minutes that it took', async () => {
  const clock = new FakeClock();
  await using queue = new MemoryTaskQueue({ clock, leaseMs: 24 * HOUR });
  await queue.enqueue({ payload: {} });
  await run(queue, clock, 'writer', 15 * MINUTE);
  expect((await queue.analytics({ windowMs: 5 * MINUTE })).agents.writer!.running).toBeCloseTo(1, 1);
  expect((await queue.analytics({ windowMs: HOUR })).agents.writer!.busyMs).toBe(15 * MINUTE);
});

test('all processes read the same, also of one that has ended', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'jotty-analytics-'));
  const clock = new FakeClock();
  const path = join(folder, 'tasks.db');
  try {
    await using one = new SQLiteTaskQueue({ path, clock, owner: 'one' });
    await using two = new SQLiteTaskQueue({ path, clock, owner: 'two' });
    await one.enqueueMany([{ payload: {} }, { payload: {} }, { payload: {} }]);
    await run(one, clock, 'writer', 1_000);
    await run(two, clock, 'writer', 1_000);
    // One of the same name takes over.
    const again = new SQLiteTaskQueue({ path, clock, owner: 'two' });
    await run(again, clock, 'writer', 1_000);
    await again.close();
    await clock.advance(ANALYTICS_FLUSH_MS);
    const seen = await one.analytics();
    expect(seen).toMatchObject({
      submitted: 3,
      ended: { completed: 3 },
      agents: { writer: { busyMs: 3_000 } },
    });
    expect(await two.analytics()).toEqual(seen);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('garbage in the registry counts for nothing, and a closed queue leaves no timer', async () => {
  const clock = new FakeClock();
  const queue = new MemoryTaskQueue({ clock });
  for (const [key, value] of Object.entries({
    a: 'x',
    b: '[]',
    c: 'null',
    d: '{"segment":1,"minutes":{"1":{}}}',
  })) {
    for (let section = 0; section < 150; section++) {
      await queue.registry.put(`analytics.${section}`, { key, value, expiresAt: null }, clock.now());
    }
  }
  await queue.enqueue({ payload: {} });
  expect(await queue.analytics()).toMatchObject({ submitted: 1 });
  await queue.close();
  expect(clock.timers).toBe(0);
});

test('quantiles of a sketch are within 5 %, also of merged ones', () => {
  const random = seededRandom(1);
  const [one, two] = [new Sketch(), new Sketch()];
  const all = Array.from({ length: 20_000 }, () => 2 + Math.exp(12 * random()));
  all.forEach((ms, i) => {
    count(i % 3 === 0 ? one : two, ms);
  });
  merge(one, two);
  all.sort((a, b) => a - b);
  const { count: total, p50Ms, p95Ms, p99Ms, maxMs } = spreadOf(one);
  expect([total, maxMs]).toEqual([20_000, all.at(-1)]);
  for (const [share, value] of [
    [0.5, p50Ms],
    [0.95, p95Ms],
    [0.99, p99Ms],
  ] as const) {
    expect(Math.abs(value / all[Math.ceil(share * 20_000) - 1]! - 1)).toBeLessThan(0.05);
  }
  expect(spreadOf(new Sketch())).toMatchObject({ count: 0, meanMs: 0, p99Ms: 0 });
});
