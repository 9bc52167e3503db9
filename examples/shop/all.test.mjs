import assert from 'node:assert';
import { test } from 'node:test';
import { price } from './price.mjs';

test('codes make it cheaper', () => {
  assert.deepEqual([price(10), price(10, 'HALF'), price(10, 'FREE')], [10, 5, 0]);
});

test('other codes are refused', () => assert.throws(() => price(10, 'MINE'), /no code MINE/));
