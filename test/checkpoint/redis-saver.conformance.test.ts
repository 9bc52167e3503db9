import { deltaChannelHistoryTests, validate } from '@langchain/langgraph-checkpoint-validation';
import { RedisSaver } from '../../src/checkpoint/redis-saver.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

const initializer = {
  checkpointerName: 'jotty RedisSaver',
  createCheckpointer: () => new RedisSaver({ url: redis.url, prefix: redis.prefix() }),
  destroyCheckpointer: (saver: RedisSaver) => saver.close(),
};

validate(initializer);
deltaChannelHistoryTests(initializer);
