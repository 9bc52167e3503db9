/** A place under a limit that a task takes while it is leased. */
export interface LimitUse {
  readonly key: string;
  /** What a start counts for under a rate, e.g. tokens; under `max` each task counts one. */
  readonly weight: number;
}

/** What a task shares with others: the limits it stays under, and whose turn it takes. Never changes. */
export interface Quota {
  /** Each key once, in ascending order. */
  readonly limits: readonly LimitUse[];
  /** Backlogs of different keys take turns. null: the tasks without one share one turn. */
  readonly fairKey: string | null;
  /** A backlog of weight 3 gets three turns where one of weight 1 gets one. 1 without a fairKey. */
  readonly fairWeight: number;
}

/** The part of a quota by which lanes are told apart, as text: `keys|fairKey*weight`; no key has any of `,|*`. */
export function quotaText(quota: Quota): string {
  const known = texts.get(quota);
  if (known !== undefined) return known;
  const { limits, fairKey, fairWeight } = quota;
  const keys = limits.map(({ key }) => key).join(',');
  const text = fairKey === null ? `${keys}|` : `${keys}|${fairKey}*${fairWeight}`;
  texts.set(quota, text);
  return text;
}

/** The keys of its limits, as they stand in a task's state: `;key,key`, empty without any. */
export function limitsText(quota: Quota): string {
  const text = quotaText(quota);
  return quota.limits.length === 0 ? '' : `;${text.slice(0, text.indexOf('|'))}`;
}

/** Many tasks share a quota. */
const texts = new WeakMap<Quota, string>();

/** The weights beside it, as text; empty where each is 1. */
export function weightsText({ limits }: Quota): string {
  return limits.every(({ weight }) => weight === 1) ? '' : limits.map(({ weight }) => weight).join(',');
}

/** Both texts read back. */
export function toQuota(keys: string, turn: string, weights: string): Quota {
  const each = weights === '' ? [] : weights.split(',').map(Number);
  const limits = keys === '' ? [] : keys.split(',').map((key, i) => ({ key, weight: each[i] ?? 1 }));
  const [fairKey = '', fairWeight = '1'] = turn.split('*');
  return { limits, fairKey: fairKey || null, fairWeight: Number(fairWeight) };
}
