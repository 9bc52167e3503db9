import { expect, test } from 'vitest';
import { Slots } from '../../src/orchestration/slots.ts';

/** Slots whose runs end when the test says so. */
function openSlots(concurrency: number) {
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const errors: unknown[] = [];
  const run = (name: string) => {
    begun.push(name);
    return new Promise<void>((resolve, reject) => {
      ends.set(name, (error) => (error === undefined ? resolve() : reject(error)));
    });
  };
  const slots = new Slots<string>(concurrency, run, (error) => errors.push(error));
  const end = async (name: string, error?: Error) => {
    ends.get(name)?.(error);
    await turn();
  };
  return { slots, begun, errors, end };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('runs so many at a time, in the order added', async () => {
  const { slots, begun, end } = openSlots(2);
  for (const name of ['a', 'b', 'c', 'd', 'e']) slots.add(name);
  expect(begun).toEqual(['a', 'b']);

  await end('b');
  expect(begun).toEqual(['a', 'b', 'c']);
  await end('a');
  await end('c');
  expect(begun).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('an item added at any moment finds a slot, also while the last lane ends', async () => {
  const { slots, begun, end } = openSlots(1);
  slots.add('first');
  const ended = end('first');
  for (let tick = 0; tick < 20; tick++) {
    const name = `tick ${tick}`;
    slots.add(name);
    await Promise.resolve();
  }
  await ended;
  for (let tick = 0; tick < 20; tick++) await end(`tick ${tick}`);
  expect(begun).toHaveLength(21);

  for (let ticks = 0; ticks < 12; ticks++) {
    const [before, after] = [`before ${ticks}`, `after ${ticks}`];
    slots.add(before);
    void end(before);
    for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
    slots.add(after);
    await turn();
    expect(begun.at(-1)).toBe(after);
    await end(after);
  }
});

test('a run that throws is reported and costs no slot', async () => {
  const { slots, begun, errors, end } = openSlots(1);
  slots.add('a');
  slots.add('b');
  await end('a', new Error('broken'));
  expect(errors).toEqual([new Error('broken')]);
  expect(begun).toEqual(['a', 'b']);
});

test('what has not begun can be forgotten', async () => {
  const { slots, begun, end } = openSlots(1);
  for (const name of ['a', 'b', 'c']) slots.add(name);
  slots.clear();
  slots.add('d');
  await end('a');
  expect(begun).toEqual(['a', 'd']);
});
