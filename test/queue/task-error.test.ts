import { expect, test } from 'vitest';
import { ERROR_TEXT_BYTES_MAX } from '../../src/queue/bounds.ts';
import { cutBytes, toTaskError } from '../../src/queue/task-error.ts';

test('an error becomes data with name, message, code and stack', () => {
  const error = Object.assign(new TypeError('no'), { code: 'E_NO' });
  expect(toTaskError(error)).toMatchObject({
    name: 'TypeError',
    message: 'no',
    code: 'E_NO',
    stack: expect.any(String),
  });
});

test.each([
  ['a text', 'went wrong', 'went wrong'],
  ['undefined', undefined, 'undefined'],
  ['null', null, 'null'],
  ['a number', 42, '42'],
  ['an object', { why: 1 }, '{"why":1}'],
])('%s that was thrown becomes a message', (_name, thrown, message) => {
  expect(toTaskError(thrown)).toEqual({ name: 'Error', message });
});

test('a thrown cycle becomes a message too', () => {
  const thrown: { self?: unknown } = {};
  thrown.self = thrown;
  expect(toTaskError(thrown).message).toBe('[object Object]');
});

test('all texts together stay within the bound, cut at a character', () => {
  const error = Object.assign(new Error('é'.repeat(100_000)), {
    stack: '✓'.repeat(100_000),
    code: 'x'.repeat(9_000),
  });
  const { name, message, code, stack } = toTaskError(error);
  const bytes = Buffer.byteLength([name, message, code, stack].join(''));
  expect(bytes).toBeLessThanOrEqual(ERROR_TEXT_BYTES_MAX);
  expect(message).toMatch(/^é+…$/);
  expect(stack).toMatch(/^✓+…$/);
});

test('a cut leaves no half character and no lone surrogate', () => {
  expect(cutBytes('😀😀😀', 10)).toBe('😀…');
  expect(cutBytes('a\ud800b', 100)).toBe('a\ufffdb');
});
