import { type ClaimFilter, type Kind, laneMatches } from '../../claim-filter.ts';
import { KeyedHeap } from './keyed-heap.ts';
import type { MemoryEntry, Stage } from './memory-entry.ts';
import type { MemoryGates } from './memory-gates.ts';
import { ReadyGroups } from './ready-groups.ts';
import { isBefore } from './ready-lanes.ts';

/** So many entries that count no more are not worth looking for. */
const STALE_MAX = 1_000;

/** Every task by what it waits for: a worker, its time, its dependencies, or nothing. */
export class WaitingEntries {
  readonly #gates: MemoryGates;
  readonly #ready: ReadyGroups;
  /** By runAt; stale where the entry has moved on since. */
  readonly #delayed = new KeyedHeap<MemoryEntry>();
  readonly #counts = { ready: 0, delayed: 0, blocked: 0 };

  constructor(gates: MemoryGates) {
    this.#gates = gates;
    this.#ready = new ReadyGroups(gates);
  }

  get delayed(): number {
    return this.#counts.delayed;
  }

  get blocked(): number {
    return this.#counts.blocked;
  }

  /** Puts a task where it waits as its record stands. */
  place(entry: MemoryEntry, now: number): void {
    const { status, runAt, blockedBy, seq } = entry.record;
    this.remove(entry);
    if (status !== 'pending' && status !== 'retrying') return;
    if (blockedBy.length > 0) {
      this.#stage(entry, 'blocked');
    } else if (runAt > now) {
      this.#stage(entry, 'delayed');
      this.#delayed.push(runAt, seq, entry);
    } else {
      this.#stage(entry, 'ready');
      this.#ready.add(entry);
    }
  }

  /** What is left of it in a heap is dropped when its turn comes, or when half of the heap is such. */
  remove(entry: MemoryEntry): void {
    const { stage } = entry;
    if (stage === 'none') return;
    const count = --this.#counts[stage];
    entry.stage = 'none';
    if (stage === 'ready') this.#ready.leave(entry);
    if (stage === 'ready' && isMostlyStale(this.#ready.size, count)) this.#ready.forgetStale();
    if (stage === 'delayed' && isMostlyStale(this.#delayed.size, count)) this.#forgetStaleDelays();
  }

  /**
   * The first `limit` claimable tasks that pass the filter, whatever their ids, in order. They have entered their
   * gates, and must be removed.
   */
  take(limit: number, filter: ClaimFilter | null, now: number): MemoryEntry[] {
    return this.#ready.take(limit, filter, now);
  }

  /** The same among these. */
  takeAmong(entries: readonly MemoryEntry[], limit: number, filter: ClaimFilter, now: number): MemoryEntry[] {
    const wanted = entries
      .filter((entry) => entry.stage === 'ready' && laneMatches(entry.record, filter))
      .sort((a, b) => (isBefore(a, b) ? -1 : 1));
    const taken: MemoryEntry[] = [];
    for (const entry of wanted) {
      if (taken.length === limit) break;
      if (this.#gates.isPaused(entry.record) || this.#gates.obstacleOf(entry, now) !== null) continue;
      if (entry.record.quota) this.#gates.enter(entry.record.quota, now);
      taken.push(entry);
    }
    return taken;
  }

  /** Moves on what has fallen due. */
  promoteDue(now: number): void {
    for (let due = this.nextDueAt(); due !== null && due <= now; due = this.nextDueAt()) {
      this.place(this.#delayed.pop()!, now);
    }
  }

  /** The earliest time that somebody waits for. */
  nextDueAt(): number | null {
    for (;;) {
      const entry = this.#delayed.peek();
      if (!entry) return null;
      const due = this.#delayed.peekKey()!;
      if (isDelayedUntil(entry, due)) return due;
      this.#delayed.pop();
    }
  }

  oldestReadyAt(): number | null {
    return this.#ready.oldestAt();
  }

  readyKinds(): Kind[] {
    return this.#ready.kinds();
  }

  /** A delayed task that was changed is in the heap more than once. */
  #forgetStaleDelays(): void {
    const kept = new Set<MemoryEntry>();
    this.#delayed.keep((entry, due) => isDelayedUntil(entry, due) && kept.size < kept.add(entry).size);
  }

  #stage(entry: MemoryEntry, stage: Exclude<Stage, 'none'>): void {
    entry.stage = stage;
    this.#counts[stage]++;
  }
}

function isDelayedUntil(entry: MemoryEntry, due: number): boolean {
  return entry.stage === 'delayed' && entry.record.runAt === due;
}

function isMostlyStale(size: number, count: number): boolean {
  return size > 2 * count + STALE_MAX;
}
