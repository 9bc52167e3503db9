import { expect, test } from 'vitest';
import { sharedRedis } from '../redis/shared-redis.ts';
import { NOW, SpokenQueue } from '../redis/spoken-queue.ts';

const redis = sharedRedis();

test('a lone submission leaves what it leaves in the usual way: in order, out of it, after claims, and sent again', async () => {
  const [lone, usual] = [new SpokenQueue(redis), new SpokenQueue(redis)];
  for (const queue of [lone, usual]) await queue.run('open', '');
  for (let i = 0; i < 120; i++) {
    // Some ids come twice, some ranks are lower than those before them, and lanes are new again when they were emptied.
    const id = `t${i % 17 === 16 ? i - 3 : i}`;
    const rank = NOW + ((i * 37) % 50) + (i % 3) * i;
    const identity = `${rank} ${NOW + i} = ${1 + (i % 4)}|${i % 2 ? 'write' : ''}|\nhash\n{"payload":{}}`;
    const submission = ['', 1, id, identity] as const;
    const replies = [
      await lone.run('insertLone', 'i0', ...submission),
      await usual.run('insert', 'i0', ...submission),
    ];
    expect(replies[0]).toEqual(replies[1]);
    if (i % 11 === 5) {
      const again = [
        await lone.again('insertLone', 'i0', ...submission),
        await usual.again('insert', 'i0', ...submission),
      ];
      expect(again[0]).toEqual(again[1]);
    }
    if (i % 9 === 8) {
      const limit = i % 2 ? 4 : 30;
      expect(await lone.claim(limit)).toEqual(await usual.claim(limit));
    }
    if (i % 5 === 0) expect(await lone.stored()).toEqual(await usual.stored());
  }
  expect(await lone.stored()).toEqual(await usual.stored());
});
