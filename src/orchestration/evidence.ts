/**
 * What is known of an agent's latest work on a type: success and duration as distributions, in which each run counts
 * for less the longer ago it was. Durations are as their logarithms, since they differ by factors.
 */
export interface Evidence {
  /** Runs, the older ones for less. */
  readonly weight: number;
  /** Of these, successes. */
  readonly good: number;
  /** Mean of ln(ms). */
  readonly logMs: number;
  /** Sum of the squared distances from that mean. */
  readonly spread: number;
}

/** What one more run leaves of the earlier ones: about the last 50 count, so that an agent that changes is seen to. */
const KEPT_SHARE = 0.98;

export function afterRun(known: Evidence | undefined, success: boolean, ms: number): Evidence {
  const run = { weight: 1, good: success ? 1 : 0, logMs: Math.log(Math.max(1, ms)), spread: 0 };
  return known === undefined ? run : together(faded(known, KEPT_SHARE), run);
}

export function faded({ weight, good, logMs, spread }: Evidence, share: number): Evidence {
  return { weight: weight * share, good: good * share, logMs, spread: spread * share };
}

export function together(a: Evidence, b: Evidence): Evidence {
  const weight = a.weight + b.weight;
  const apart = b.logMs - a.logMs;
  return {
    weight,
    good: a.good + b.good,
    logMs: a.logMs + (apart * b.weight) / weight,
    spread: a.spread + b.spread + (apart * apart * a.weight * b.weight) / weight,
  };
}

/** What another process wrote is data. */
export function isEvidence(value: unknown): value is Evidence {
  if (typeof value !== 'object' || value === null) return false;
  const { weight, good, logMs, spread } = value as Partial<Record<keyof Evidence, unknown>>;
  return (
    isAmount(weight) && weight > 0 && isAmount(good) && good <= weight && isAmount(logMs) && isAmount(spread)
  );
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Infinity;
}
