import { expect, test } from 'vitest';
import { sharedRedis } from '../redis/shared-redis.ts';
import { ExampleProcess } from './example-process.ts';

const redis = sharedRedis();

test('redis-checkpoints asks, goes on elsewhere, and leaves nothing in Redis', async () => {
  const { code, output, errors } = await new ExampleProcess('redis-checkpoints.ts', [], {
    REDIS_URL: redis.url,
  }).end();
  expect(errors).toBe('');
  expect(code).toBe(0);
  expect(output.split('\n')).toEqual([
    'asking for a price',
    'asked: {"question":"Pay 50?"}',
    'ordered for 50',
    'kept: ordered',
  ]);
  expect(await redis.server.ask('DBSIZE')).toBe(0);
});
