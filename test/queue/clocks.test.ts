import { describe, expect, test } from 'vitest';
import { firstAlarm, nextClock, rungClock } from '../../src/queue/clocks.ts';

const NOW = 1_790_000_000_000;
const pending = { createdAt: NOW, status: 'pending', retryCount: 0, crashes: 0, details: null } as const;
const details = (value: object) => JSON.stringify(value);

describe('the next clock of a task', () => {
  test('is none for a task that said nothing of its time, or has ended', () => {
    expect(nextClock(pending, {})).toBeNull();
    expect(nextClock({ ...pending, status: 'completed' }, { deadline: NOW })).toBeNull();
  });

  test('is the earliest: deadline or expiry', () => {
    const clocks = { deadline: NOW + 500, expiresInMs: 400 };
    expect(nextClock(pending, clocks)).toEqual({ kind: 'expiry', at: NOW + 400 });
    expect(nextClock(pending, { ...clocks, expiresInMs: 600 })).toEqual({ kind: 'deadline', at: NOW + 500 });
    expect(firstAlarm(NOW, clocks)).toBe(NOW + 400);
  });

  test('counts the time to expire from runAt or delayMs, whichever is later', () => {
    const at = (clocks: object) => nextClock(pending, { expiresInMs: 100, ...clocks })?.at;
    expect(at({ runAt: NOW - 50 })).toBe(NOW + 100);
    expect(at({ runAt: NOW + 50 })).toBe(NOW + 150);
    expect(at({ runAt: NOW + 50, delayMs: 70 })).toBe(NOW + 170);
  });

  test('is no expiry once the task has begun, in whatever way that is known', () => {
    for (const begun of [
      { retryCount: 1 },
      { crashes: 1 },
      { status: 'waiting' },
      { details: details({ clock: { hasBegun: true } }) },
    ] as const)
      expect(nextClock({ ...pending, ...begun }, { expiresInMs: 100 })).toBeNull();
  });

  test('counts from the new life of a redriven task', () => {
    const redriven = { ...pending, details: details({ clock: { from: NOW + 1_000 } }) };
    expect(nextClock(redriven, { expiresInMs: 100 })).toEqual({ kind: 'expiry', at: NOW + 1_100 });
  });

  test('is that of its approval while it is asked', () => {
    const approval = { question: '?', timeoutMs: 300 };
    expect(nextClock(pending, { approval })).toBeNull();
    const asking = { ...pending, status: 'waiting', details: details({ askedAt: NOW + 10 }) } as const;
    expect(nextClock(asking, { approval })).toEqual({ kind: 'timeout', at: NOW + 310 });
    expect(nextClock(asking, { approval, deadline: NOW + 200 })?.kind).toBe('deadline');
  });

  test('has rung at its time, not before', () => {
    expect(rungClock(pending, { deadline: NOW + 1 }, NOW)).toBeNull();
    expect(rungClock(pending, { deadline: NOW }, NOW)).toEqual({ kind: 'deadline', at: NOW });
  });
});
