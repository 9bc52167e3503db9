import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../src/clock.ts';

const MONTH_MS = 30 * 24 * 3600 * 1000;

describe('timers beyond what Node can set', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('fire when they are due, not at once', () => {
    const fired: string[] = [];
    systemClock.setTimeout(() => fired.push('late'), 2 * MONTH_MS);
    vi.advanceTimersByTime(2 * MONTH_MS - 1);
    expect(fired).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(fired).toEqual(['late']);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('are cleared in every stage', () => {
    const fired: string[] = [];
    const atOnce = systemClock.setTimeout(() => fired.push('late'), 2 * MONTH_MS);
    const later = systemClock.setTimeout(() => fired.push('late'), 2 * MONTH_MS);
    systemClock.clearTimeout(atOnce);
    vi.advanceTimersByTime(MONTH_MS);
    systemClock.clearTimeout(later);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(2 * MONTH_MS);
    expect(fired).toEqual([]);
  });
});

test('a process is held by a timer until it is let go, and by no other', () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  const handle = systemClock.setTimeout(() => {}, 60_000);
  expect(timers()).toBe(before);
  const letGo = systemClock.holdProcess!();
  expect(timers()).toBe(before + 1);
  letGo();
  systemClock.clearTimeout(handle);
  expect(timers()).toBe(before);
});
