import { expect, test } from 'vitest';
import { findJsonProblem, JSON_DEPTH_MAX } from '../src/json.ts';

const cycle: { items: unknown[] } = { items: [] };
cycle.items.push({ back: cycle });

test.each([
  ['NaN', { a: [1, Number.NaN] }, '.a[1]', 'finite'],
  ['Infinity', { a: Number.POSITIVE_INFINITY }, '.a', 'finite'],
  ['a BigInt', { deep: { er: 1n } }, '.deep.er', 'BigInt'],
  ['a function', { f: () => 1 }, '.f', 'function'],
  ['a symbol', { s: Symbol('x') }, '.s', 'symbol'],
  ['a Date', { when: new Date(0) }, '.when', 'Date'],
  ['a Map', { m: new Map() }, '.m', 'Map'],
  ['a cycle', cycle, '.items[0].back', 'cycle'],
  ['undefined in a list', { l: [undefined] }, '.l[0]', 'undefined'],
  ['toJSON', { t: { toJSON: () => 1 } }, '.t', 'toJSON'],
  ['a strange key', { 'a b': { c: Number.NaN } }, '["a b"].c', 'finite'],
])('%s is found, with its path', (_name, value, path, problem) => {
  expect(findJsonProblem(value)).toMatchObject({ path, problem: expect.stringContaining(problem) });
});

test('plain JSON has no problem, whatever its keys are called', () => {
  const value = JSON.parse('{"lc":1,"__proto__":{"x":[1,"2",null,true]},"constructor":{},"toString":"s"}');
  expect(findJsonProblem({ ...value, absent: undefined })).toBeNull();
  expect(findJsonProblem(Object.create(null))).toBeNull();
});

test('the same object twice is not a cycle', () => {
  const shared = { x: 1 };
  expect(findJsonProblem({ a: shared, b: [shared, shared] })).toBeNull();
});

test('depth is bounded', () => {
  const nest = (levels: number): unknown => (levels === 0 ? 1 : { n: nest(levels - 1) });
  expect(findJsonProblem(nest(JSON_DEPTH_MAX))).toBeNull();
  expect(findJsonProblem(nest(JSON_DEPTH_MAX + 1))).toMatchObject({
    problem: expect.stringContaining('JSON_DEPTH_MAX'),
  });
});
