import { HybridTaskQueue, RedisTaskQueue, SQLiteTaskQueue } from '../../src/queue/index.ts';
import { threeSteps } from './graphs.ts';

const OPTIONS = {
  leaseMs: 900,
  sweepMs: 20,
  retry: { initialInterval: 0, jitter: false },
} as const;

/** The same queue in several processes. */
export function openQueue(backend: string, location: string, prefix: string) {
  const durability = { atLeast: 'none' } as const;
  if (backend === 'sqlite') return new SQLiteTaskQueue({ path: location, ...OPTIONS });
  if (backend === 'redis') return new RedisTaskQueue({ url: location, prefix, durability, ...OPTIONS });
  return new HybridTaskQueue({ url: location, prefix, durability, ...OPTIONS });
}

/** The second of three nodes says that it works, and then does `work`. */
export function slowSteps(work: () => Promise<void>) {
  const second = async (_state: unknown, config: object) => {
    (config as { writer?: (chunk: unknown) => void }).writer?.({ at: 'work' });
    await work();
    return { notes: ['second'] };
  };
  return threeSteps([], { second }).compile();
}
