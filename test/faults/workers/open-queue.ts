import { createRequire } from 'node:module';
import type { StoredTaskQueue } from '../../../src/queue/index.ts';
import * as queues from '../../../src/queue/index.ts';

/** Where the tasks of a test are. */
export const BACKENDS = {
  sqlite: 'SQLiteTaskQueue',
  redis: 'RedisTaskQueue',
  hybrid: 'HybridTaskQueue',
} as const;
export type Backend = keyof typeof BACKENDS;

type QueueClass = new (options: object) => StoredTaskQueue;

/**
 * Opens a queue as an app would. `place` is the path of a file, a URL of a Redis, or, for clients that ask
 * several servers, `cluster:PORT,PORT` or `sentinel:NAME:PORT,PORT`, all on this machine.
 */
export function openQueue(backend: Backend, place: string, options: object): StoredTaskQueue {
  const Class = (queues as unknown as Record<string, QueueClass>)[BACKENDS[backend]];
  if (Class === undefined) throw new Error(`expected ${BACKENDS[backend]} in jotty/queue, got none`);
  if (backend === 'sqlite') return new Class({ path: place, ...options });
  // Tasks of tests are too few for a node to hold them ahead by itself.
  const holding = backend === 'hybrid' ? { prefetchTasksMin: 5 } : {};
  // The faults are meant: nobody needs to be warned of what Redis may lose.
  return new Class({ ...addressOf(place), durability: { atLeast: 'none' }, ...holding, ...options });
}

/** The client is loaded only where it is made: the storms start hundreds of workers, most of them on files. */
function addressOf(place: string): object {
  const [kind, ...rest] = place.split(':');
  if (kind === 'redis') return { url: place };
  const { Cluster, Redis } = createRequire(import.meta.url)('ioredis') as typeof import('ioredis');
  if (kind === 'cluster') return { redis: new Cluster(nodes(rest[0]), { lazyConnect: true }) };
  const [name = '', ports] = rest;
  return { redis: new Redis({ sentinels: nodes(ports), name, lazyConnect: true }) };
}

function nodes(ports = ''): { host: string; port: number }[] {
  return ports.split(',').map((port) => ({ host: '127.0.0.1', port: Number(port) }));
}
