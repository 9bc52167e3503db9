import { expect, test } from 'vitest';
import { backoffMs, DEFAULT_RETRY } from '../../src/queue/retry.ts';

const steady = { ...DEFAULT_RETRY, jitter: false };

test('the wait doubles from the initial interval up to the largest', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 8, 60, 1_000].map((n) => backoffMs(n, steady, Math.random));
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000]);
});

test('jitter keeps the wait in the upper half', () => {
  expect(backoffMs(2, DEFAULT_RETRY, () => 0)).toBe(500);
  expect(backoffMs(2, DEFAULT_RETRY, () => 0.5)).toBe(750);
  expect(backoffMs(2, DEFAULT_RETRY, () => 0.999_999)).toBe(1_000);
});

test('the wait is a number whatever the policy', () => {
  expect(backoffMs(1_001, { ...steady, initialInterval: 0, backoffFactor: 1_000 }, Math.random)).toBe(0);
  expect(backoffMs(1_001, { ...steady, initialInterval: 0.5, backoffFactor: 1_000 }, Math.random)).toBe(
    30_000,
  );
});
