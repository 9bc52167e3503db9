/** Each bucket of a sketch is this much wider than the one before: a quantile is within 5 % of a true one. */
const GROWTH = 1.1;
const LOG_GROWTH = Math.log(GROWTH);

/** Durations, counted by size: small, mergeable, exact in count, sum and maximum (DDSketch, Masson et al. 2019). */
export class Sketch {
  count = 0;
  sumMs = 0;
  maxMs = 0;
  /** How many, by the bucket's number. */
  readonly sizes: Record<number, number> = {};
}

export interface Spread {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export function count(sketch: Sketch, ms: number): void {
  const size = ms <= 1 ? 0 : Math.ceil(Math.log(ms) / LOG_GROWTH);
  sketch.count += 1;
  sketch.sumMs += ms;
  if (ms > sketch.maxMs) sketch.maxMs = ms;
  sketch.sizes[size] = (sketch.sizes[size] ?? 0) + 1;
}

export function merge(into: Sketch, { count, sumMs, maxMs, sizes }: Sketch): void {
  into.count += count;
  into.sumMs += sumMs;
  into.maxMs = Math.max(into.maxMs, maxMs);
  for (const [size, n] of Object.entries(sizes)) into.sizes[+size] = (into.sizes[+size] ?? 0) + n;
}

export function spreadOf(sketch: Sketch): Spread {
  const { count, sumMs, maxMs } = sketch;
  return {
    count,
    meanMs: count === 0 ? 0 : sumMs / count,
    p50Ms: quantile(sketch, 0.5),
    p95Ms: quantile(sketch, 0.95),
    p99Ms: quantile(sketch, 0.99),
    maxMs,
  };
}

function quantile({ count, maxMs, sizes }: Sketch, share: number): number {
  const wanted = Math.ceil(share * count);
  let seen = 0;
  // Whole numbers as keys of an object come in ascending order.
  for (const [size, n] of Object.entries(sizes)) {
    seen += n;
    if (seen >= wanted && wanted > 0) return Math.min(maxMs, middleOf(+size));
  }
  return 0;
}

function middleOf(size: number): number {
  return size === 0 ? 1 : (2 * GROWTH ** size) / (GROWTH + 1);
}
