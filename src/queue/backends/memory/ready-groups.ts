import { type ClaimFilter, type Kind, kindsOf } from '../../claim-filter.ts';
import { turnEnd, turnOf } from '../../turns.ts';
import type { MemoryEntry } from './memory-entry.ts';
import type { MemoryGates } from './memory-gates.ts';
import { isBefore, ReadyLanes } from './ready-lanes.ts';

/** The backlog of tasks without a fair key. */
const OWN = '';

/** A backlog in a claim, and its next task. */
interface Runner {
  readonly fairKey: string;
  readonly lanes: ReadyLanes;
  next: MemoryEntry;
}

/** So many ends of turns that are over are not worth looking for. */
const ENDS_MAX = 1_000;

/** The claimable tasks by backlog: those of a fair key together, each backlog in order, and turns between them. */
export class ReadyGroups {
  readonly #gates: MemoryGates;
  readonly #own: ReadyLanes;
  /** The backlogs of fair keys. */
  readonly #others = new Map<string, ReadyLanes>();
  /** See turns.ts. */
  #at = 0;
  readonly #ends = new Map<string, number>();

  constructor(gates: MemoryGates) {
    this.#gates = gates;
    this.#own = new ReadyLanes(gates);
  }

  /** Ready tasks with a fair key: without one there are no turns to take. */
  #fair = 0;

  /** With those that count no more. */
  get size(): number {
    let size = this.#own.size;
    for (const lanes of this.#others.values()) size += lanes.size;
    return size;
  }

  add(entry: MemoryEntry): void {
    if (isFair(entry)) this.#fair += 1;
    this.#lanesOf(entry.record.quota?.fairKey ?? null).add(entry);
  }

  /** An entry counts no more; what is left of it is dropped when its turn comes. */
  leave(entry: MemoryEntry): void {
    if (isFair(entry)) this.#fair -= 1;
    const fairKey = entry.record.quota?.fairKey ?? null;
    (fairKey === null ? this.#own : this.#others.get(fairKey))?.leave(entry);
  }

  /** Removes and returns up to `limit` entries; each has entered its gates. */
  take(limit: number, filter: ClaimFilter | null, now: number): MemoryEntry[] {
    this.#gates.wake(now);
    if (this.#fair === 0) return this.#own.take(limit, filter, now);
    const runners = this.#runners(filter, now);
    const taken: MemoryEntry[] = [];
    while (taken.length < limit && runners.length > 0) {
      const first = runners.reduce((a, b) => (this.#goesBefore(b, a) ? b : a));
      // Looked at again: what was taken since may have closed its gate.
      const isStill = first.lanes.peek(filter, now) === first.next;
      if (isStill) taken.push(this.#serve(first, filter, now));
      const next = first.lanes.peek(filter, now);
      if (next) first.next = next;
      else runners.splice(runners.indexOf(first), 1);
    }
    this.#forgetEnds();
    return taken;
  }

  forgetStale(): void {
    this.#own.forgetStale();
    for (const [fairKey, lanes] of this.#others) {
      lanes.forgetStale();
      if (lanes.size === 0) this.#others.delete(fairKey);
    }
  }

  oldestAt(): number | null {
    const all = [this.#own, ...this.#others.values()].flatMap((lanes) => lanes.oldestAt() ?? []);
    return all.length === 0 ? null : all.reduce((a, b) => Math.min(a, b));
  }

  kinds(): Kind[] {
    return kindsOf([this.#own, ...this.#others.values()].flatMap((lanes) => lanes.kinds()));
  }

  #runners(filter: ClaimFilter | null, now: number): Runner[] {
    return [[OWN, this.#own] as const, ...this.#others].flatMap(([fairKey, lanes]) => {
      const next = lanes.peek(filter, now);
      return next ? { fairKey, lanes, next } : [];
    });
  }

  #turnOf({ fairKey }: Runner): number {
    return turnOf({ at: this.#at, ends: this.#ends }, fairKey);
  }

  #goesBefore(a: Runner, b: Runner): boolean {
    const [first, second] = [this.#turnOf(a), this.#turnOf(b)];
    return first < second || (first === second && isBefore(a.next, b.next));
  }

  #serve(runner: Runner, filter: ClaimFilter | null, now: number): MemoryEntry {
    const { fairKey, lanes, next } = runner;
    const start = this.#turnOf(runner);
    lanes.take(1, filter, now);
    this.#at = start;
    this.#ends.set(fairKey, turnEnd(start, next.record.quota?.fairWeight ?? 1));
    if (lanes.size === 0) this.#others.delete(fairKey);
    return next;
  }

  /** Turns that ended before the one that is on say nothing more. */
  #forgetEnds(): void {
    if (this.#ends.size <= ENDS_MAX + 2 * this.#others.size) return;
    for (const [fairKey, end] of this.#ends) if (end <= this.#at) this.#ends.delete(fairKey);
  }

  #lanesOf(fairKey: string | null): ReadyLanes {
    if (fairKey === null) return this.#own;
    let lanes = this.#others.get(fairKey);
    if (!lanes) {
      lanes = new ReadyLanes(this.#gates);
      this.#others.set(fairKey, lanes);
    }
    return lanes;
  }
}

function isFair({ record }: MemoryEntry): boolean {
  return record.quota !== undefined && record.quota.fairKey !== null;
}
