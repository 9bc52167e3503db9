import { validate } from '@langchain/langgraph-checkpoint-validation';
import { PlainRedisSaver } from '../../bench/peers/plain-redis-saver.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

/** What RedisSaver is compared with in the benchmark does the work of a saver, too. */
validate({
  checkpointerName: 'the plain Redis saver of the benchmark',
  createCheckpointer: () => new PlainRedisSaver(redis.url, `${redis.prefix()}:`),
  destroyCheckpointer: (saver: PlainRedisSaver) => saver.close(),
});
