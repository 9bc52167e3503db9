/** One level of strict priority: larger than any time in ms until the year 2248, and ten of them stay safe. */
const STRICT_STEP = 2 ** 43;

export const PRIORITY_MAX = 10;

/**
 * The order of the queue as one integer; smaller goes first. `since` is createdAt, or runAt for delayed
 * tasks (ms). A level of priority is worth `agingMs` of waiting, so that nothing starves; Infinity is strict.
 * Always below 2^53, so that it is exact as a number, as a SQLite integer and as a Redis score.
 */
export function rankOf(priority: number, since: number, agingMs: number): number {
  const step = Math.min(agingMs, STRICT_STEP);
  return Math.floor(since) + (PRIORITY_MAX - priority) * step;
}

interface Place {
  readonly rank: number;
  readonly seq: number;
}

export function isAhead(a: Place, b: Place): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.seq < b.seq);
}
