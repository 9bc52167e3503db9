import { performance } from 'node:perf_hooks';

/** What one round of one side measured, by the name of the figure. */
export type Figures = Record<string, number>;

/** The value at this share (0–1) of the sorted values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** Things per second of the work given. */
export async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return (count / (performance.now() - from)) * 1_000;
}

/** Calls one after the other; the duration of each in ms. */
export async function durations<T>(
  items: Iterable<T>,
  call: (item: T) => Promise<unknown>,
): Promise<number[]> {
  const taken: number[] = [];
  for (const item of items) {
    const from = performance.now();
    await call(item);
    taken.push(performance.now() - from);
  }
  return taken;
}

/** Calls with `width` of them in flight until all items are done. */
export async function inFlight<T>(
  items: readonly T[],
  width: number,
  call: (item: T) => Promise<unknown>,
): Promise<void> {
  const left = items.values();
  const lane = async () => {
    for (const item of left) await call(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}
