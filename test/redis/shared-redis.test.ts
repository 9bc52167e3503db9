import { expect, test } from 'vitest';
import { sharedRedis } from './shared-redis.ts';

const redis = sharedRedis();
const prefixes: string[] = [];

test.each([1, 2])('each test has a prefix of its own on the one server (%i)', async () => {
  const prefix = redis.prefix();
  expect(prefixes).not.toContain(prefix);
  prefixes.push(prefix);
  const client = redis.server.client();
  expect(await client.incr(`${prefix}:count`)).toBe(1);
  expect(await client.incr('count')).toBe(prefixes.length);
});
