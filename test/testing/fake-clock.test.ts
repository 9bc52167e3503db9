import { expect, test } from 'vitest';
import { MemoryTaskQueue } from '../../src/queue/backends/memory/memory-task-queue.ts';
import { FakeClock, waitForStatus } from '../../src/testing/index.ts';

test('advance fires timers in the order they fall due, each at its own time', async () => {
  const clock = new FakeClock(1_000);
  const fired: string[] = [];
  const at = (name: string, ms: number) => clock.setTimeout(() => fired.push(`${name}@${clock.now()}`), ms);
  at('c', 30);
  at('a', 10);
  at('b', 10);
  clock.clearTimeout(at('never', 20));
  at('later', 31);
  await clock.advance(30);
  expect(fired).toEqual(['a@1010', 'b@1010', 'c@1030']);
  expect([clock.now(), clock.timers]).toEqual([1_030, 1]);
});

test('a timer set by a timer, or by what it started, fires in the same advance when it is due', async () => {
  const clock = new FakeClock(0);
  const fired: number[] = [];
  clock.setTimeout(async () => {
    await new Promise<void>((resolve) => setImmediate(resolve));
    clock.setTimeout(() => fired.push(clock.now()), 5);
  }, 5);
  await clock.advance(10);
  expect(fired).toEqual([10]);
});

test('waitForStatus sees what is, what comes, and its signal', async () => {
  const queue = new MemoryTaskQueue({ clock: new FakeClock() });
  await queue.enqueue({ payload: {}, id: 'a' });
  expect((await waitForStatus(queue, 'a', 'pending')).id).toBe('a');
  const started = waitForStatus(queue, 'a', 'in_progress');
  await queue.dequeue(undefined, { start: true });
  expect((await started).status).toBe('in_progress');
  const reason = new Error('enough');
  await expect(waitForStatus(queue, 'a', 'failed', AbortSignal.abort(reason))).rejects.toBe(reason);
  await queue.close();
});
