import { randomBytes } from 'node:crypto';
import { LeaseLostError, StoreUnavailableError } from '../../../errors.ts';
import { requireOptions } from '../../../options.ts';
import type { Effect } from '../../effects.ts';
import type { Task } from '../../task.ts';
import type { RedisDurability } from '../redis/durability.ts';
import { RedisTaskQueue, type RedisTaskQueueOptions } from '../redis/redis-task-queue.ts';
import type { HybridTaskStoreOptions } from './hybrid-options.ts';
import { HybridTaskStore } from './hybrid-task-store.ts';
import { RedisHoldingStore } from './redis-holding-store.ts';

export interface HybridTaskQueueOptions
  extends RedisTaskQueueOptions,
    Pick<
      HybridTaskStoreOptions,
      'prefetchMs' | 'prefetchTasksMax' | 'prefetchTasksMin' | 'prefetchBytesMax' | 'flushMs'
    > {}

export interface HybridDurability extends RedisDurability {
  /** Settlements of the last so many ms may be lost with this process: their tasks then run once more. */
  readonly flushMs: number;
}

/**
 * The queue in Redis with its most urgent tasks in the memory of each process that works on them: a claim takes
 * microseconds, and while Redis is away a process goes on with what it holds. It shares its tasks with every
 * `RedisTaskQueue` and `HybridTaskQueue` of the same prefix.
 *
 * - Tasks are held ahead once a process claims many, about as many as it runs in `prefetchMs`; they stay
 *   `pending` for everybody, and nobody else claims them. Order by priority is exact for what this process
 *   submits, and follows others' submissions within milliseconds; what another process holds goes its own way,
 *   for about `prefetchMs`.
 * - Everything acknowledged is in Redis, but what `flushMs` allows to be late. A claim is sent as soon as it is
 *   made, and its answer is not waited for: whoever dies in that round trip is not charged with a crash. What it may
 *   have started then is claimed in Redis before it is handed out again, so that its next crash is charged.
 * - What a killed process held comes back after a quarter more than `leaseMs`; `close()` gives it back at once.
 * - `pause()` resolves when every process that holds tasks has given them back, or was silent for that long.
 */
export class HybridTaskQueue extends RedisTaskQueue {
  readonly #flushMs: number;

  constructor(options: HybridTaskQueueOptions) {
    const { prefetchMs, prefetchTasksMax, prefetchTasksMin, prefetchBytesMax, flushMs, ...queueOptions } =
      requireOptions(options, 'an object with url or redis');
    let report: (error: unknown) => void = () => {};
    super(
      queueOptions,
      (redisOptions) =>
        new HybridTaskStore(new RedisHoldingStore(redisOptions), {
          leaseMs: queueOptions.leaseMs ?? 30_000,
          node: randomBytes(6).toString('hex'),
          prefetchMs,
          prefetchTasksMax,
          prefetchTasksMin,
          prefetchBytesMax,
          flushMs,
          onError: (error) => report(error),
        }),
    );
    report = (error) => this.report(error);
    this.#flushMs = flushMs ?? 0;
  }

  /** What Redis is configured for, and for how long a settlement may be acknowledged before Redis has it. */
  override async durability(): Promise<HybridDurability> {
    return { ...(await super.durability()), flushMs: this.#flushMs };
  }

  /** Never late: nothing may be begun on a record that is not in Redis yet. Reading it writes what is owed before. */
  override async recordEffects(task: Task, effects: readonly Effect[]): Promise<Task> {
    const recorded = await super.recordEffects(task, effects);
    if (this.#flushMs === 0) return recorded;
    const stored = await this.getTask(task.id);
    const fence = task.lease?.fence ?? 0;
    if (stored?.lease?.fence !== fence) throw new LeaseLostError(task.id, fence, 'its record was refused');
    const isStored = (effect: Effect) =>
      stored.effects?.some(
        ({ key, state, starts }) => key === effect.key && state === effect.state && starts === effect.starts,
      );
    if (effects.every(isStored)) return stored;
    throw new StoreUnavailableError(`task ${task.id} was changed while an effect was recorded; try again`);
  }
}
