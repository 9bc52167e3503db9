import { SCRIPTS, type ScriptName } from '../../src/queue/backends/redis/scripts.ts';
import type { SharedRedis } from './shared-redis.ts';

export const NOW = 1_700_000_000_000;
const READERS: Readonly<Record<string, readonly string[]>> = {
  hash: ['HGETALL'],
  list: ['LRANGE', '0', '-1'],
  zset: ['ZRANGE', '0', '-1', 'WITHSCORES'],
};

/** A queue to which one store object speaks in the words of its scripts. */
export class SpokenQueue {
  readonly #redis: SharedRedis;
  readonly #prefix: string;
  #requests = 0;

  constructor(redis: SharedRedis) {
    this.#redis = redis;
    this.#prefix = redis.prefix();
  }

  run(script: ScriptName, mark: string, ...values: (string | number)[]): Promise<unknown> {
    this.#requests++;
    return this.again(script, mark, ...values);
  }

  /** The last request once more. */
  again(script: ScriptName, mark: string, ...values: (string | number)[]): Promise<unknown> {
    const keys = [`{${this.#prefix}}:c`, `{${this.#prefix}}:never`];
    const head = [NOW + this.#requests, 'me', `${mark}:me`, this.#requests];
    return this.#redis.server.ask(
      'EVAL',
      SCRIPTS[script].source,
      2,
      ...keys,
      ...[...head, ...values].map(String),
    );
  }

  claim(limit: number): Promise<unknown> {
    return this.run('claim', 'c0', limit, '=me', '"me"', NOW + 60_000, 'a', '', '*', '*', '*', '');
  }

  /** All that is stored, by key. */
  async stored(): Promise<Record<string, unknown>> {
    const keys = await this.#redis.server.ask<string[]>('KEYS', `{${this.#prefix}}:*`);
    const found: [string, unknown][] = [];
    for (const key of keys.sort()) {
      const [read = '', ...range] = READERS[await this.#redis.server.ask<string>('TYPE', key)] ?? ['GET'];
      const value = await this.#redis.server.ask<string[]>(read, key, ...range);
      found.push([key.slice(this.#prefix.length + '{}:'.length), read === 'HGETALL' ? pairs(value) : value]);
    }
    return Object.fromEntries(found);
  }
}

function pairs(list: readonly string[]): Record<string, string> {
  const entries = list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]!]] : []));
  return Object.fromEntries(entries);
}
