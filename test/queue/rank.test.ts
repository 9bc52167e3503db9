import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TIME_MS_MAX } from '../../src/queue/bounds.ts';
import { rankOf } from '../../src/queue/rank.ts';

const NOW = 1_790_000_000_000;

test('a higher priority goes first', () => {
  expect(rankOf(8, NOW, 60_000)).toBeLessThan(rankOf(5, NOW, 60_000));
});

test('a level of priority is worth agingMs of waiting, no more', () => {
  expect(rankOf(5, NOW, 60_000)).toBe(rankOf(6, NOW + 60_000, 60_000));
  expect(rankOf(5, NOW, 60_000)).toBeLessThan(rankOf(6, NOW + 60_001, 60_000));
});

test('strict priority never gives way to waiting', () => {
  expect(rankOf(10, TIME_MS_MAX, Number.POSITIVE_INFINITY)).toBeLessThan(
    rankOf(9, 0, Number.POSITIVE_INFINITY),
  );
});

test('every rank is a safe integer', () => {
  const times = fc.double({ min: 0, max: TIME_MS_MAX, noNaN: true });
  const agings = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 0, max: 2 ** 50 }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), times, agings, (priority, time, aging) =>
      Number.isSafeInteger(rankOf(priority, time, aging)),
    ),
  );
});
