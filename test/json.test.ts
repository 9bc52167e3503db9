import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boundJsonBytes, cloneJson, copyJson, findJsonProblem, JSON_DEPTH_MAX } from '../src/json.ts';

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
  ['toJSON of a list', { t: Object.assign([], { toJSON: () => 1 }) }, '.t', 'toJSON'],
  [
    'a getter that throws',
    {
      g: {
        get secret(): never {
          throw new Error('closed');
        },
      },
    },
    '.g.secret',
    'getter that throws',
  ],
  ['a strange key', { 'a b': { c: Number.NaN } }, '["a b"].c', 'finite'],
])('%s is found, with its path', (_name, value, path, problem) => {
  expect(findJsonProblem(value)).toMatchObject({ path, problem: expect.stringContaining(problem) });
  expect(boundJsonBytes(value)).toBe(Number.POSITIVE_INFINITY);
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
  expect(boundJsonBytes(nest(JSON_DEPTH_MAX))).toBeLessThan(Number.POSITIVE_INFINITY);
  expect(boundJsonBytes(nest(JSON_DEPTH_MAX + 1))).toBe(Number.POSITIVE_INFINITY);
  expect(findJsonProblem(nest(JSON_DEPTH_MAX + 1))).toMatchObject({
    problem: expect.stringContaining('JSON_DEPTH_MAX'),
  });
});

/** Any JSON, with texts that need escapes and keys that mean something elsewhere. */
const anyJson = fc.jsonValue({ stringUnit: 'binary' });

test('a bound is never below the bytes of the text, and only JSON has one', () => {
  fc.assert(
    fc.property(anyJson, (value) => {
      expect(boundJsonBytes(value)).toBeGreaterThanOrEqual(Buffer.byteLength(JSON.stringify(value)));
    }),
    // The longest number has one byte more than the longest with an exponent.
    { examples: [[-0.0000053232761805996815], [-2.2250738585072014e-308]] },
  );
  const anything = fc.anything({ withNullPrototype: true, withDate: true, withBigInt: true });
  fc.assert(
    fc.property(anything, (value) => {
      if (boundJsonBytes(value) < Number.POSITIVE_INFINITY) expect(findJsonProblem(value)).toBeNull();
    }),
  );
});

test('a copy is what the text would give, and shares no object with the original', () => {
  const same = (value: unknown) => {
    expect(copyJson(value)).toStrictEqual(JSON.parse(JSON.stringify(value)));
  };
  fc.assert(fc.property(anyJson, same));
  same({ zero: -0, absent: undefined, list: [{ a: [-0] }] });
  same(JSON.parse('{"__proto__":{"polluted":true},"constructor":1}'));

  const original = { deep: { list: [{ n: 1 }] } };
  const copy = copyJson(original);
  original.deep.list[0]!.n = 2;
  original.deep.list.push({ n: 3 });
  expect(copy).toEqual({ deep: { list: [{ n: 1 }] } });
});

test('a clone of a copy is the same JSON, and shares nothing with it', () => {
  const same = (value: { readonly [key: string]: unknown }) => {
    const copy = copyJson(value);
    expect(isDeepStrictEqual(cloneJson(copy), copy)).toBe(true);
  };
  fc.assert(fc.property(fc.dictionary(fc.string(), anyJson), same));
  same(JSON.parse('{"__proto__":{"__proto__":{"polluted":true}},"constructor":{"a":1}}'));

  const copy = copyJson({ deep: { list: [{ n: 1 }, [{ n: 2 }]] } });
  const clone = JSON.parse(JSON.stringify(copy));
  const changed = cloneJson(copy) as { deep: { list: unknown[] } };
  Object.assign(changed.deep.list[0] as object, { n: 3 });
  (changed.deep.list[1] as unknown[]).push(4);
  expect(copy).toStrictEqual(clone);
});
