import { afterEach, expect, test, vi } from 'vitest';
import type { ScriptRunner } from '../../../src/queue/backends/redis/script-runner.ts';
import { StoreSignal } from '../../../src/queue/backends/redis/store-signal.ts';
import type { RedisConnection } from '../../../src/redis/redis-connection.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('two gaps in a row, while Redis is slow to answer, leave one renewal, and none after close', async () => {
  vi.useFakeTimers();
  let gap = () => {};
  const answers: (() => void)[] = [];
  const connection = {
    subscribe(_channel: string, _onMessage: unknown, onGap: () => void) {
      gap = onGap;
      return () => {};
    },
    lastly: async () => {},
  };
  const scripts = {
    key: (name: string) => name,
    instance: 'i',
    run: () => new Promise<void>((resolve) => answers.push(resolve)),
  };
  const signal = new StoreSignal(
    connection as unknown as RedisConnection,
    scripts as unknown as ScriptRunner,
  );
  signal.watch(() => {});
  gap();
  gap();
  for (const answer of answers) answer();
  await vi.advanceTimersByTimeAsync(0);
  expect(vi.getTimerCount()).toBe(1);
  await signal.close();
  expect(vi.getTimerCount()).toBe(0);
});
