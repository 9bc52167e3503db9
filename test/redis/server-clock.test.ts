import { afterEach, expect, test, vi } from 'vitest';
import { ServerClock } from '../../src/redis/server-clock.ts';

const SERVER_AT_START = 1_800_000_000_000;

afterEach(() => {
  vi.useRealTimers();
});

/** A clock that has heard one answer: asked at 0 of the monotonic clock, heard `tookMs` later, written in between. */
function heard(tookMs: number, writtenAfterMs: number): ServerClock {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'Date'] });
  const clock = new ServerClock();
  answer(clock, tookMs, writtenAfterMs);
  return clock;
}

function answer(clock: ServerClock, tookMs: number, writtenAfterMs: number): void {
  const askedAt = performance.now();
  vi.advanceTimersByTime(tookMs);
  clock.learn(Math.floor(serverAt(askedAt) + writtenAfterMs), askedAt);
}

const start = { at: 0 };

function serverAt(monotonic: number): number {
  return SERVER_AT_START + monotonic - start.at;
}

test.for([0, 3, 10])(
  'it is never ahead of Redis, wherever in the round trip (%d of 10 ms) it was told',
  (at) => {
    start.at = 0;
    const clock = heard(10, at);
    expect(clock.now()).toBeLessThanOrEqual(serverAt(performance.now()));
    expect(clock.now()).toBeGreaterThanOrEqual(serverAt(performance.now()) - 10);
  },
);

test('a quick answer corrects what a slow one told, and a slow one changes nothing after it', () => {
  const clock = heard(500, 0);
  expect(clock.now()).toBe(serverAt(performance.now()) - 500);
  answer(clock, 0, 0);
  expect(clock.now()).toBe(serverAt(performance.now()));
  answer(clock, 500, 0);
  expect(clock.now()).toBe(serverAt(performance.now()));
});

test('it follows when the clock of Redis is set back', () => {
  start.at = 0;
  const clock = heard(0, 0);
  start.at = 3_600_000;
  answer(clock, 0, 0);
  expect(clock.now()).toBe(serverAt(performance.now()));
});

test('who waits until something falls due finds it due', () => {
  const clock = heard(0, 0);
  const dueAt = clock.now() + 50;
  let firedAt = 0;
  clock.setTimeout(() => {
    firedAt = clock.now();
  }, dueAt - clock.now());
  vi.advanceTimersByTime(60);
  expect(firedAt).toBeGreaterThan(dueAt);
});
