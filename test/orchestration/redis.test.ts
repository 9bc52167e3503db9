import { expect, test } from 'vitest';
import { Conductor } from '../../src/index.ts';
import { RedisTaskQueue } from '../../src/queue/index.ts';
import { redisClock } from '../redis/redis-clock.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { threeSteps, twoQuestions } from './graphs.ts';

const redis = sharedRedis();
const durability = { atLeast: 'none' } as const;

test('goals, checkpoints and answers are in one Redis and survive the queue object', async () => {
  const prefix = redis.prefix();
  let id = '';
  for (const reply of ['Ada', 'blue']) {
    await using queue = new RedisTaskQueue({ url: redis.url, prefix, durability });
    const conductor = new Conductor({ agents: { ask: twoQuestions() }, queue });
    id ||= await conductor.enqueueGoal('go');
    expect(await conductor.processQueue({ untilEmpty: true })).toMatchObject({ waiting: 1 });
    const [question] = (await queue.getTask(id))?.interrupts ?? [];
    await conductor.answer(id, question!.id, reply);
  }
  await using queue = new RedisTaskQueue({ url: redis.url, prefix, durability });
  const conductor = new Conductor({ agents: { ask: twoQuestions() }, queue });
  await conductor.processQueue({ untilEmpty: true });
  expect(await conductor.result(id)).toMatchObject({ answer: 'Ada likes blue' });
});

test('purged tasks take their checkpoints along, and an id that is new again has a thread of its own', async () => {
  const prefix = redis.prefix();
  const clock = redisClock(redis);
  const client = redis.server.client();
  const threads = async () => (await client.keys(`*${prefix}*`)).filter((key) => key.includes('{thread:'));
  await using queue = new RedisTaskQueue({ url: redis.url, prefix, durability, clock, retentionMs: 10_000 });
  const conductor = new Conductor({ agents: { steps: threeSteps([]).compile() }, queue });
  for (let life = 0; life < 2; life++) {
    await conductor.enqueueGoal('go', { id: 'again' });
    await conductor.processQueue({ untilEmpty: true });
    expect(await conductor.result('again')).toMatchObject({ notes: ['first', 'second', 'third'] });
    expect(await threads()).toHaveLength(2);
    await clock.advance(20_000);
    expect(await queue.getTask('again')).toBeNull();
    expect(await threads()).toEqual([]);
  }
});
