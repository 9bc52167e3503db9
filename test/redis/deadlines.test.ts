import { expect, test } from 'vitest';
import { StoreUnavailableError } from '../../src/errors.ts';
import { Deadlines } from '../../src/redis/deadlines.ts';

const never = new Promise<never>(() => {});
const soon = (ms: number) => performance.now() + ms;

test('what ends in time tells how, and what does not is given up, each by its own deadline', async () => {
  const deadlines = new Deadlines();
  const given: string[] = [];
  const gaveUp = (name: string) => (error: unknown) => {
    expect(error).toBeInstanceOf(StoreUnavailableError);
    given.push(name);
  };
  const late = deadlines.within(soon(30), never).catch(gaveUp('late'));
  // Its deadline comes before the one that the timer was set for.
  const early = deadlines.within(soon(5), never).catch(gaveUp('early'));
  expect(await deadlines.within(soon(5), Promise.resolve(1))).toBe(1);
  await expect(deadlines.within(soon(5), Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  await Promise.all([late, early]);
  expect(given).toEqual(['early', 'late']);
});

test('an answer that has come is in time, though the event loop was blocked until after its deadline', async () => {
  const deadlines = new Deadlines();
  const answer = new Promise((resolve) => setImmediate(() => resolve('here')));
  const told = deadlines.within(soon(2), answer);
  const until = soon(10);
  while (performance.now() < until);
  expect(await told).toBe('here');
});
