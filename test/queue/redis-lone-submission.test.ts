import { expect, test } from 'vitest';
import { SCRIPTS, type ScriptName } from '../../src/queue/backends/redis/scripts.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

const NOW = 1_700_000_000_000;
const READERS: Readonly<Record<string, readonly string[]>> = {
  hash: ['HGETALL'],
  list: ['LRANGE', '0', '-1'],
  zset: ['ZRANGE', '0', '-1', 'WITHSCORES'],
};

/** A queue to which one store object speaks in the words of its scripts. */
class Spoken {
  readonly #prefix = redis.prefix();
  #requests = 0;

  run(script: ScriptName, mark: string, ...values: (string | number)[]): Promise<unknown> {
    this.#requests++;
    return this.again(script, mark, ...values);
  }

  /** The last request once more. */
  again(script: ScriptName, mark: string, ...values: (string | number)[]): Promise<unknown> {
    const keys = [`{${this.#prefix}}:c`, `{${this.#prefix}}:never`];
    const head = [NOW + this.#requests, 'me', `${mark}:me`, this.#requests];
    return redis.server.ask('EVAL', SCRIPTS[script].source, 2, ...keys, ...[...head, ...values].map(String));
  }

  claim(limit: number): Promise<unknown> {
    return this.run('claim', 'c0', limit, '=me', '"me"', NOW + 60_000, 'a', '', '*', '*', '*', '');
  }

  /** All that is stored, by key. */
  async stored(): Promise<Record<string, unknown>> {
    const keys = await redis.server.ask<string[]>('KEYS', `{${this.#prefix}}:*`);
    const found: [string, unknown][] = [];
    for (const key of keys.sort()) {
      const [read = '', ...range] = READERS[await redis.server.ask<string>('TYPE', key)] ?? ['GET'];
      const value = await redis.server.ask<string[]>(read, key, ...range);
      found.push([key.slice(this.#prefix.length + '{}:'.length), read === 'HGETALL' ? pairs(value) : value]);
    }
    return Object.fromEntries(found);
  }
}

function pairs(list: readonly string[]): Record<string, string> {
  const entries = list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]!]] : []));
  return Object.fromEntries(entries);
}

test('a lone submission leaves what it leaves in the usual way: in order, out of it, after claims, and sent again', async () => {
  const [lone, usual] = [new Spoken(), new Spoken()];
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
