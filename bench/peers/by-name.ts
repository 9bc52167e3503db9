import type { QueueSide } from '../side.ts';

/** Each side is loaded only in the process that measures it, so that none disturbs another. */
const LOADERS: Readonly<Record<string, () => Promise<QueueSide>>> = {
  jotty: async () => (await import('./jotty.ts')).jotty,
  'jotty-memory': async () => (await import('./jotty.ts')).jottyMemory,
  plainjob: async () => (await import('./plainjob.ts')).plainjob,
  redis: async () => (await import('./jotty.ts')).jottyRedis,
  hybrid: async () => (await import('./jotty.ts')).jottyHybrid,
  'jotty-manager': async () => (await import('./jotty-manager.ts')).withManager('jotty'),
  'redis-manager': async () => (await import('./jotty-manager.ts')).withManager('redis'),
  'hybrid-manager': async () => (await import('./jotty-manager.ts')).withManager('hybrid'),
  bullmq: async () => (await import('./bullmq.ts')).bullmq,
  'bee-queue': async () => (await import('./bee-queue.ts')).beeQueue,
  liteque: async () => (await import('./liteque.ts')).liteque,
  sidequest: async () => (await import('./sidequest.ts')).sidequest,
  'p-queue': async () => (await import('./p-queue.ts')).pQueue,
};

export async function sideByName(name: string): Promise<QueueSide> {
  const load = LOADERS[name];
  if (load === undefined)
    throw new Error(`expected a side (${Object.keys(LOADERS).join(', ')}), got ${name}`);
  return load();
}
