import { expect, test } from 'vitest';
import { PassingMap } from '../../src/queue/passing-map.ts';

test('what is in the map stays in it while many others pass through', () => {
  const map = new PassingMap<string, number>();
  map.set('stays', 0);
  for (let i = 1; i <= 10_000; i++) {
    map.set(`passes-${i}`, i);
    expect(map.get(`passes-${i}`)).toBe(i);
    map.delete(`passes-${i}`);
  }
  expect([...map.keys()]).toEqual(['stays']);
  expect([...map.values()]).toEqual([0]);
  expect(map.size).toBe(1);
});

test('a map that only grows keeps all it was given', () => {
  const map = new PassingMap<number, number>();
  for (let i = 0; i < 10_000; i++) map.set(i, i);
  for (let i = 0; i < 10_000; i++) map.set(i, -i);
  expect(map.size).toBe(10_000);
  expect(map.get(9_999)).toBe(-9_999);
});
