import { type Clock, systemClock } from '../../../clock.ts';
import { InvalidOptionError } from '../../../errors.ts';
import type { DemandOptions } from './demand.ts';

export interface HybridTaskStoreOptions {
  /** The lease that claims ask for: what is held ahead is held for a quarter more. */
  readonly leaseMs: number;
  /** Names this store object among those on the same storage; never used twice. */
  readonly node: string;
  /** Tasks are held ahead for about this long: the most by which a priority can be passed over. @default 1000 */
  readonly prefetchMs?: number | undefined;
  /** Never more tasks than this. 0 holds none ahead. @default 1000 */
  readonly prefetchTasksMax?: number | undefined;
  /** As many tasks even where none is being claimed. @default 0 */
  readonly prefetchTasksMin?: number | undefined;
  /** Never more text than this. @default 16 MiB */
  readonly prefetchBytesMax?: number | undefined;
  /**
   * Settlements and heartbeats of this node's own tasks are acknowledged at once and written this often, ms. A
   * process that dies loses those of the last `flushMs`: their tasks run once more. Nothing that was enqueued
   * is lost, since enqueues are always written before they are acknowledged. 0 writes before it acknowledges.
   * @default 0
   */
  readonly flushMs?: number | undefined;
  /** Of holds and flushes; tasks have their times from the queue. @default the system's */
  readonly clock?: Clock | undefined;
  readonly onError?: ((error: unknown) => void) | undefined;
}

interface ResolvedHybridOptions extends DemandOptions {
  readonly leaseMs: number;
  readonly node: string;
  readonly flushMs: number;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

/** The system's timers by a clock that never jumps: holds are promises between machines. */
const monotonicClock: Clock = { ...systemClock, now: () => performance.now() };

/** The options with their defaults. Throws InvalidOptionError. */
export function resolveHybridOptions(options: HybridTaskStoreOptions): ResolvedHybridOptions {
  checkOptions(options);
  return {
    leaseMs: options.leaseMs,
    node: options.node,
    tasksMin: options.prefetchTasksMin ?? 0,
    tasksMax: options.prefetchTasksMax ?? 1_000,
    bytesMax: options.prefetchBytesMax ?? 16 * 1024 * 1024,
    aheadMs: options.prefetchMs ?? 1_000,
    flushMs: options.flushMs ?? 0,
    clock: options.clock ?? monotonicClock,
    onError: options.onError ?? (() => {}),
  };
}

const COUNTS = ['prefetchTasksMax', 'prefetchTasksMin', 'prefetchBytesMax', 'flushMs'] as const;

function checkOptions(options: HybridTaskStoreOptions): void {
  for (const name of COUNTS) {
    const value = options[name];
    if (value !== undefined && !(Number.isFinite(value) && value >= 0))
      throw new InvalidOptionError(name, 'a number from 0', value);
  }
  const { prefetchMs = 1, prefetchTasksMin = 0, prefetchTasksMax = 1_000 } = options;
  if (!(Number.isFinite(prefetchMs) && prefetchMs > 0))
    throw new InvalidOptionError('prefetchMs', 'a positive number of ms', prefetchMs);
  if (prefetchTasksMin > prefetchTasksMax)
    throw new InvalidOptionError(
      'prefetchTasksMin',
      `at most prefetchTasksMax (${prefetchTasksMax})`,
      prefetchTasksMin,
    );
}
