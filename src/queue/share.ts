import type { GateRule } from './gate.ts';
import type { Limit } from './limits.ts';
import type { LimitUse, Quota } from './quota.ts';
import type { GateChange } from './task-store.ts';

/** What the limits of a task come to: what it is stored with, and what it says of its keys. */
export interface Share {
  readonly quota: Quota;
  readonly rules: readonly GateChange[];
}

/**
 * Where the limits met so far lead, key by key. Tasks under the same limits share one object: most queues have few,
 * this is on the path of every submission, and no text has to be put together to find it.
 */
interface Step {
  /** What was said of the last key; another word takes its place. */
  readonly rule: GateRule | null;
  next: Map<string, Step> | null;
  share: Share | null;
}

const NOTHING: Step = { rule: null, next: null, share: null };
/** About 5 MB; beyond, all are met again. */
const STEPS_MAX = 10_000;
let steps = 0;

function stepTo(from: Step, key: string, limit: Limit | null): Step {
  // Each weight has a step of its own: there are many where they are guesses of tokens.
  const name = limit?.weight === undefined ? key : `${key} ${limit.weight}`;
  const known = from.next?.get(name);
  if (known && (limit === null || saysSame(known.rule, limit))) return known;
  if (++steps > STEPS_MAX) {
    NOTHING.next = null;
    steps = 0;
  }
  const step: Step = { rule: limit && ruleOf(limit), next: null, share: null };
  from.next ??= new Map();
  from.next.set(name, step);
  return step;
}

function saysSame(rule: GateRule | null, { max, rate }: Limit): boolean {
  return rule?.max === (max ?? null) && rule.rate?.max === rate?.max && rule.rate?.perMs === rate?.perMs;
}

/** Of a task under these limits, each key once. */
export function shareUnder(limits: readonly Limit[], fairKey: string | null, fairWeight: number): Share {
  let step = fairKey === null ? NOTHING : stepTo(NOTHING, `@${fairKey} ${fairWeight}`, null);
  for (const limit of limits) step = stepTo(step, limit.key, limit);
  step.share ??= { quota: toQuota(limits, fairKey, fairWeight), rules: rulesOf(limits) };
  return step.share;
}

function toQuota(limits: readonly Limit[], fairKey: string | null, fairWeight: number): Quota {
  const uses = limits.map(({ key, weight = 1 }): LimitUse => Object.freeze({ key, weight }));
  // Tasks show it to their users, who shall not change what all others stand under.
  return { limits: Object.freeze(uses.sort((a, b) => (a.key < b.key ? -1 : 1))), fairKey, fairWeight };
}

function rulesOf(limits: readonly Limit[]): GateChange[] {
  const bounded = limits.filter(({ max, rate }) => max !== undefined || rate !== undefined);
  return bounded.map((limit) => ({ key: limit.key, rule: ruleOf(limit) }));
}

/** Of its own: what was submitted may be changed by whoever submitted it. */
export function ruleOf({ max, rate }: Omit<Limit, 'key'>): GateRule {
  return { max: max ?? null, rate: rate ? { max: rate.max, perMs: rate.perMs } : null };
}
