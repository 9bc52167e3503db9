import type { TaskQueue } from '../dist/queue/index.js';
import * as queues from '../dist/queue/index.js';
import { emptyRedis, type Place } from './private-redis.ts';

/** The queues of Jotty that are measured, by the name of the side. */
const CLASSES: Readonly<Record<string, string>> = {
  jotty: 'SQLiteTaskQueue',
  'jotty-memory': 'MemoryTaskQueue',
  redis: 'RedisTaskQueue',
  hybrid: 'HybridTaskQueue',
};

export function isOnRedis(side: string): boolean {
  return side.startsWith('redis') || side.startsWith('hybrid');
}

/** An empty place for a side's queue: the file given, or the emptied Redis of this round. */
export async function emptyPlace(side: string, path: string): Promise<Place> {
  return isOnRedis(side) ? { url: (await emptyRedis()).url } : { path };
}

/** One of Jotty's queues as it ships. */
export function openTaskQueue(side: string, place: Place): TaskQueue {
  const name = CLASSES[side] ?? '';
  const Class = (queues as unknown as Record<string, new (options: object) => TaskQueue>)[name];
  if (Class === undefined) throw new Error(`expected a queue of this build, got ${name || side}`);
  // The peers do not warn either that this Redis keeps nothing.
  return new Class({ ...place, ...(place.url !== undefined && { durability: { atLeast: 'none' } }) });
}
