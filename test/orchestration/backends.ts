import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import {
  HybridTaskQueue,
  MemoryTaskQueue,
  RedisTaskQueue,
  SQLiteTaskQueue,
  type TaskQueueOptions,
} from '../../src/queue/index.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

export type BackendName = 'memory' | 'sqlite' | 'redis' | 'hybrid';

/** Queues of each backend; `open` with the same place twice gives two queue objects on one storage. */
export function backends() {
  const redis = sharedRedis();
  const folder = mkdtempSync(join(tmpdir(), 'jotty-backends-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let places = 0;
  const durability = { atLeast: 'none' } as const;
  const open = (backend: BackendName, place: string, options: TaskQueueOptions = {}) => {
    switch (backend) {
      case 'memory':
        return new MemoryTaskQueue(options);
      case 'sqlite':
        return new SQLiteTaskQueue({ path: join(folder, `${place}.db`), ...options });
      case 'redis':
        return new RedisTaskQueue({ url: redis.url, prefix: place, durability, ...options });
      case 'hybrid':
        return new HybridTaskQueue({ url: redis.url, prefix: place, durability, ...options });
    }
  };
  return { open, place: () => `p${places++}` };
}
