import type { RetryPolicy } from './task.ts';

export const DEFAULT_RETRY: RetryPolicy = {
  initialInterval: 500,
  backoffFactor: 2,
  maxInterval: 30_000,
  jitter: true,
};

/**
 * How long to wait before run `n + 1` after `n` failures (or crashes), ms: exponential, at most
 * `maxInterval`. Jitter takes a random point of the upper half, so that tasks that failed together
 * ("equal jitter", Brooker 2015) do not come back together, and still wait at least half.
 */
export function backoffMs(n: number, policy: RetryPolicy, random: () => number): number {
  // The power may be Infinity, and 0 × Infinity is no time at all.
  const power = Math.min(policy.backoffFactor ** Math.max(0, n - 1), Number.MAX_SAFE_INTEGER);
  const full = Math.min(policy.maxInterval, policy.initialInterval * power);
  return Math.round(policy.jitter ? full / 2 + random() * (full / 2) : full);
}
