import { expect, test } from 'vitest';
import { AlarmClock } from '../../src/queue/alarm-clock.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

function bundle(next: (now: number) => number | null = () => null) {
  const clock = new FakeClock();
  const start = clock.now();
  const rings: number[] = [];
  const errors: unknown[] = [];
  const alarm = new AlarmClock(
    clock,
    async () => {
      rings.push(clock.now() - start);
      return next(clock.now());
    },
    (error) => errors.push(error),
  );
  return { clock, start, rings, errors, alarm };
}

test('rings once at the earliest time set, and again when it was told to', async () => {
  const { clock, start, rings, alarm } = bundle((now) => (now < start + 500 ? start + 700 : null));
  alarm.set(start + 900);
  alarm.set(start + 300);
  alarm.set(start + 600);
  await clock.advance(2_000);
  expect(rings).toEqual([300, 700]);
  expect(clock.timers).toBe(0);
});

test('what is due all the time does not keep it ringing all the time', async () => {
  const { clock, start, rings, alarm } = bundle((now) => now - 1);
  alarm.set(start);
  await clock.advance(200);
  expect(rings).toEqual([0, 50, 100, 150, 200]);
  await alarm.stop();
  expect(clock.timers).toBe(0);
});

test('an error is told, and the next alarm rings all the same', async () => {
  const { clock, start, rings, errors, alarm } = bundle((now) => {
    if (now === start + 100) throw new Error('away');
    return null;
  });
  alarm.set(start + 100);
  await clock.advance(150);
  expect(errors).toHaveLength(1);
  alarm.set(start + 300);
  await clock.advance(1_000);
  expect(rings).toEqual([100, 300]);
});

test('a clock that was set back does not silence it', async () => {
  const fake = new FakeClock();
  let offset = 0;
  const now = () => fake.now() + offset;
  const rings: number[] = [];
  const ring = async () => {
    rings.push(fake.now());
    return null;
  };
  const setTimeout = (callback: () => void, ms: number) => fake.setTimeout(callback, ms);
  const clearTimeout = (handle: unknown) => fake.clearTimeout(handle);
  const alarm = new AlarmClock({ now, setTimeout, clearTimeout }, ring, () => {});
  alarm.set(now());
  await fake.advance(10);
  offset = -3_600_000;
  alarm.set(now());
  await fake.advance(60);
  expect(rings).toHaveLength(2);
});

test('stopped it stays silent', async () => {
  const { clock, start, rings, alarm } = bundle();
  alarm.set(start + 100);
  await alarm.stop();
  alarm.set(start + 200);
  await alarm.ringNow();
  await clock.advance(500);
  expect(rings).toEqual([]);
});
