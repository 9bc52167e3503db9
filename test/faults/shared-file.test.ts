import { describe, expect } from 'vitest';
import { audit, expectQuiet, extraStarts } from './audit.ts';
import { eventually } from './processes.ts';
import { scaled, TEST_TIMEOUT } from './scale.ts';
import { test } from './stage.ts';

const PROCESSES = scaled(4, 8);
const TASKS = scaled(300, 3_000);
/** The longest turn of the event loop while another process keeps the write lock. */
const LOOP_BLOCKED_MAX_MS = 100;

describe('several processes on one file', () => {
  test('may all create it at once, and each task is run once', TEST_TIMEOUT, async ({ stage }) => {
    const total = TASKS / 2;
    const enqueuers = ['left', 'right'].map((prefix) =>
      stage.spawn('enqueuer', { more: { prefix, total, inFlight: 10 } }),
    );
    const workers = Array.from({ length: PROCESSES }, () => stage.spawn('queue-worker'));
    await Promise.all(enqueuers.map((enqueuer) => enqueuer.until('done')));
    const queue = stage.queue();
    await eventually(
      async () => (await queue.stats()).counts.completed === TASKS,
      20_000,
      () => 'the tasks were not all completed',
    );
    for (const worker of workers) {
      await worker.until('ready');
      worker.kill('SIGTERM');
      expect(await worker.untilExit()).toEqual({ code: 0, signal: null });
    }

    expect((await audit(stage.database)).tasks.size).toBe(TASKS);
    expect(stage.log({ phase: 'start' })).toHaveLength(TASKS);
    expect(extraStarts(stage)).toBe(0);
    expectQuiet(stage);
  });

  test('outlive one that is stopped while it holds the write lock', TEST_TIMEOUT, async ({ stage }) => {
    const queue = stage.queue();
    await queue.enqueue({ id: 'before', payload: {} });
    const holder = await stage.launch('lock-holder');
    holder.send({ type: 'lock' });
    await holder.until('locked');
    holder.kill('SIGSTOP');

    const loop = watchLoop();
    const submitted = queue.enqueue({ id: 'meanwhile', payload: {} });
    expect((await queue.getTask('before'))?.status, 'reads go on').toBe('pending');
    await eventually(
      () => loop.turns() > 20,
      10_000,
      () => 'the event loop stood still',
    );
    expect(loop.longestMs()).toBeLessThanOrEqual(LOOP_BLOCKED_MAX_MS);
    loop.stop();

    holder.kill('SIGCONT');
    holder.send({ type: 'unlock' });
    expect(await submitted).toBe('meanwhile');
    holder.kill('SIGKILL');
    expect((await queue.getTask('meanwhile'))?.status).toBe('pending');
  });

  test('get the write lock back when its holder is killed', TEST_TIMEOUT, async ({ stage }) => {
    const queue = stage.queue();
    await queue.enqueue({ id: 'before', payload: {} });
    const holder = await stage.launch('lock-holder');
    holder.send({ type: 'lock' });
    await holder.until('locked');
    const submitted = queue.enqueue({ id: 'meanwhile', payload: {} });
    holder.kill('SIGKILL');
    expect(await submitted).toBe('meanwhile');
    await audit(stage.database);
  });
});

/** Measures the turns of this process's event loop. */
function watchLoop() {
  let last = performance.now();
  let longestMs = 0;
  let turns = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    turns++;
  }, 20);
  return { longestMs: () => longestMs, turns: () => turns, stop: () => clearInterval(timer) };
}
