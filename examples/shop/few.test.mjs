import assert from 'node:assert';
import { test } from 'node:test';
import { price } from './price.mjs';

test('half', () => assert.equal(price(10, 'HALF'), 5));
