import { type ClaimFilter, type Kind, laneMatches } from '../../claim-filter.ts';
import { KeyedHeap } from './keyed-heap.ts';
import type { MemoryEntry, Stage } from './memory-entry.ts';
import { isBefore, ReadyLanes } from './ready-lanes.ts';

/** Every task by what it waits for: a worker, its time, its dependencies, or nothing. */
export class WaitingEntries {
  readonly #ready = new ReadyLanes();
  /** By runAt; stale where the entry has moved on since. */
  readonly #delayed = new KeyedHeap<MemoryEntry>();
  readonly #counts = { ready: 0, delayed: 0, blocked: 0 };

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

  /** What is left of it in a heap is dropped when its turn comes. */
  remove(entry: MemoryEntry): void {
    if (entry.stage === 'none') return;
    this.#counts[entry.stage]--;
    entry.stage = 'none';
  }

  /** The first `limit` claimable tasks that pass the filter, whatever their ids, in order. They must be removed. */
  take(limit: number, filter: ClaimFilter | null): MemoryEntry[] {
    return this.#ready.take(limit, filter);
  }

  /** The same among these. */
  takeAmong(entries: readonly MemoryEntry[], limit: number, filter: ClaimFilter): MemoryEntry[] {
    return entries
      .filter((entry) => entry.stage === 'ready' && laneMatches(entry.record, filter))
      .sort((a, b) => (isBefore(a, b) ? -1 : 1))
      .slice(0, limit);
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
      if (entry.stage === 'delayed' && entry.record.runAt === due) return due;
      this.#delayed.pop();
    }
  }

  oldestReadyAt(): number | null {
    return this.#ready.oldestAt();
  }

  readyKinds(): Kind[] {
    return this.#ready.kinds();
  }

  #stage(entry: MemoryEntry, stage: Exclude<Stage, 'none'>): void {
    entry.stage = stage;
    this.#counts[stage]++;
  }
}
