import type { HybridTaskStoreOptions } from '../../../src/queue/backends/hybrid/hybrid-options.ts';
import { HybridTaskStore } from '../../../src/queue/backends/hybrid/hybrid-task-store.ts';
import { RedisHoldingStore } from '../../../src/queue/backends/hybrid/redis-holding-store.ts';
import { RedisConnection } from '../../../src/redis/redis-connection.ts';
import type { SharedRedis } from '../../redis/shared-redis.ts';
import { HoldingMemory, RemoteMemory } from './holding-memory.ts';

/** One storage, on which hybrid stores are opened, each as another process would have one. */
export interface HybridStorage {
  store(leaseMs: number): HybridTaskStore;
  dispose(): void;
}

export interface HybridWay {
  readonly name: string;
  /** Where tasks are always held ahead, only one process sees strict order. */
  readonly shared: boolean;
  readonly open: () => HybridStorage;
}

const EAGER = { prefetchTasksMin: 5 };

/** Tasks are held ahead on demand, or always. */
export function waysOverMemory(): HybridWay[] {
  return [
    { name: 'hybrid over memory', shared: true, open: () => overMemory({}) },
    { name: 'hybrid over memory, always holding', shared: false, open: () => overMemory(EAGER) },
  ];
}

export function waysOverRedis(redis: SharedRedis): HybridWay[] {
  return [
    { name: 'hybrid over redis', shared: true, open: () => overRedis(redis, {}) },
    { name: 'hybrid over redis, always holding', shared: false, open: () => overRedis(redis, EAGER) },
  ];
}

function overMemory(options: Partial<HybridTaskStoreOptions>): HybridStorage {
  const storage = new HoldingMemory();
  let nodes = 0;
  return {
    store: (leaseMs) =>
      new HybridTaskStore(new RemoteMemory(storage), { leaseMs, node: `n${nodes++}`, ...options }),
    dispose: () => {},
  };
}

function overRedis(redis: SharedRedis, options: Partial<HybridTaskStoreOptions>): HybridStorage {
  const prefix = redis.prefix();
  const connections: RedisConnection[] = [];
  return {
    store(leaseMs) {
      const connection = new RedisConnection({ url: redis.url });
      const node = `n${connections.push(connection)}`;
      return new HybridTaskStore(new RedisHoldingStore({ connection, prefix }), {
        leaseMs,
        node,
        ...options,
      });
    },
    dispose() {
      for (const connection of connections) connection.close();
    },
  };
}
