import { expect, test } from 'vitest';
import { Foresight } from '../../src/queue/backends/redis/foresight.ts';
import { RedisTaskQueue } from '../../src/queue/backends/redis/redis-task-queue.ts';
import { sharedRedis } from '../redis/shared-redis.ts';
import { NOW, SpokenQueue } from '../redis/spoken-queue.ts';

const redis = sharedRedis();

test('sequences are foreseen while nobody else submits, with several calls under way', () => {
  const foresight = new Foresight();
  expect(foresight.isRight).toBe(false);
  const first = foresight.sent(3);
  foresight.answered(first, 3, 3);
  const second = foresight.sent(2);
  const third = foresight.sent(5);
  expect([second, third]).toEqual([4, 6]);
  foresight.answered(second, 2, 5);
  expect(foresight.isRight).toBe(true);
  expect(foresight.sent(1)).toBe(11);
  // Somebody else has submitted 20.
  foresight.answered(third, 5, 30);
  expect(foresight.isRight).toBe(false);
  foresight.answered(11, 1, 31);
  const again = foresight.sent(4);
  expect(again).toBe(32);
  foresight.answered(again, 4, 35);
  expect(foresight.isRight).toBe(true);
  // An answer that never came.
  foresight.answered(foresight.sent(4), 4, undefined);
  expect(foresight.isRight).toBe(false);
});

/** Every kind of batch: usual ones, under limits, delayed, with an id that is there already, with one that comes twice. */
function batch(round: number): { ids: string[]; identities: string[]; specials: (string | number)[] } {
  const ids: string[] = [];
  const identities: string[] = [];
  const specials: (string | number)[] = [];
  for (let i = 0; i < 1 + ((round * 7) % 12); i++) {
    const at = NOW + round;
    const lane = `${1 + (i % 3)}|${i % 2 ? 'write' : ''}|${round % 4 === 1 ? '|user:1|' : ''}`;
    ids.push(round % 6 === 3 && i === 2 ? 't1-0' : `t${round}-${round % 8 === 5 ? i % 3 : i}`);
    identities.push(`${at} ${at} = ${lane}\nhash ${i}\n{"payload":{"of":${round}}}`);
    if (round % 5 === 2 && i % 2 === 1) specials.push(i + 1, `${NOW + 100_000} \n`);
  }
  return { ids, identities, specials };
}

test('what is foreseen, rightly or wrongly, changes nothing of what is stored', async () => {
  const [plain, foreseeing] = [new SpokenQueue(redis), new SpokenQueue(redis)];
  for (const queue of [plain, foreseeing]) await queue.run('open', '');
  let last = 0;
  for (let round = 0; round < 60; round++) {
    const { ids, identities, specials } = batch(round);
    const first = last + 1 + (round % 3 === 2 ? (round % 2 ? 1_000 : -last) : 0);
    const count = ids.length;
    const said = (texts: readonly string[]) => ids.flatMap((id, i) => [id, texts[i]!]);
    const told = identities.map((text, i) => `${first + i} ${text}`);
    const usual = ['', count, ...said(identities), ...specials] as const;
    const foreseen = ['', `${count} ${first}`, ...said(told), ...specials] as const;
    const reply = (await plain.run('insert', 'i0', ...usual)) as unknown[];
    expect(await foreseeing.run('insert', 'i0', ...foreseen)).toEqual(reply);
    if (round % 7 === 4) expect(await foreseeing.again('insert', 'i0', ...foreseen)).toEqual(reply);
    last = reply.at(-1) as number;
    expect(await foreseeing.stored()).toEqual(await plain.stored());
  }
  expect(last).toBeGreaterThan(300);
});

test('processes that submit at the same time store all of theirs, intact, each in its order', async () => {
  const prefix = redis.prefix();
  const queues = Array.from(
    { length: 2 },
    () => new RedisTaskQueue({ url: redis.url, prefix, durability: { atLeast: 'none' } }),
  );
  const [alone] = queues;
  for (let i = 0; i < 3; i++) {
    await Promise.all(Array.from({ length: 60 }, (_, n) => alone!.enqueue({ payload: { alone: [i, n] } })));
  }
  const ids = await Promise.all(
    queues.map(async (queue, at) => {
      const own: string[] = [];
      for (let i = 0; i < 10; i++) {
        const some = Array.from({ length: 40 }, (_, n) => queue.enqueue({ payload: { at, i, n } }));
        own.push(...(await Promise.all(some)));
      }
      return own;
    }),
  );
  const tasks = [];
  for (let some = await alone!.dequeueMany(500); some.length > 0; some = await alone!.dequeueMany(500)) {
    tasks.push(...some);
  }
  expect(new Set(tasks.map(({ id }) => id)).size).toBe(980);
  const listed: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await alone!.listTasks({ limit: 1_000, ...(cursor === undefined ? {} : { cursor }) });
    listed.push(...page.tasks.map(({ id }) => id));
    cursor = page.cursor;
    if (cursor === undefined) break;
  }
  expect(new Set(listed).size).toBe(980);
  for (const own of ids) expect(listed.filter((id) => own.includes(id))).toEqual(own);
  await Promise.all(queues.map((queue) => queue.close()));
});
