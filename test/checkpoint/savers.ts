import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IncrementalSaver } from '../../src/checkpoint/incremental-saver.ts';
import { FencedMemorySaver } from '../../src/checkpoint/memory-saver.ts';
import { RedisSaver } from '../../src/checkpoint/redis-saver.ts';
import { SQLiteSaver } from '../../src/checkpoint/sqlite-saver.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

/** A saver of each kind with what it needs; disposing removes it. */
export class SaverBench {
  readonly folder = mkdtempSync(join(tmpdir(), 'jotty-checkpoint-'));
  readonly path = join(this.folder, 'state.db');
  readonly #opened: (SQLiteSaver | RedisSaver)[] = [];

  sqlite(path = this.path): SQLiteSaver {
    const saver = new SQLiteSaver({ path });
    this.#opened.push(saver);
    return saver;
  }

  redis(): RedisSaver {
    const saver = new RedisSaver({ url: redis.url, prefix: redis.prefix() });
    this.#opened.push(saver);
    return saver;
  }

  of(kind: SaverKind): IncrementalSaver {
    if (kind === 'sqlite') return this.sqlite();
    return kind === 'redis' ? this.redis() : new FencedMemorySaver();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const saver of this.#opened) await saver.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export type SaverKind = 'sqlite' | 'redis' | 'memory';
export const KINDS: readonly SaverKind[] = ['sqlite', 'redis', 'memory'];
