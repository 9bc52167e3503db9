import { KeyedHeap } from './keyed-heap.ts';
import type { MemoryEntry } from './memory-entry.ts';

/** So many alarms that count no more are not worth looking for. */
const STALE_MAX = 1_000;

/** The tasks that policy must look at again, by when; stale where the alarm was moved or taken off since. */
export class Alarms {
  readonly #heap = new KeyedHeap<MemoryEntry>();
  #size = 0;

  /** The task's alarm was `before`, and is now what its record says. */
  move(entry: MemoryEntry, before: number | null): void {
    const { alarmAt, seq } = entry.record;
    if (alarmAt === before) return;
    this.#size += Number(alarmAt !== null) - Number(before !== null);
    if (alarmAt !== null) this.#heap.push(alarmAt, seq, entry);
    if (this.#heap.size > 2 * this.#size + STALE_MAX) this.#forgetStale();
  }

  nextAt(): number | null {
    for (;;) {
      const entry = this.#heap.peek();
      const at = this.#heap.peekKey();
      if (!entry || at === undefined) return null;
      if (entry.record.alarmAt === at) return at;
      this.#heap.pop();
    }
  }

  /** Those that ring at `now`, earliest first; they stay. */
  ringing(now: number, limit: number): MemoryEntry[] {
    const found = new Set<MemoryEntry>();
    for (let at = this.nextAt(); at !== null && at <= now && found.size < limit; at = this.nextAt())
      found.add(this.#heap.pop()!);
    for (const entry of found) this.#heap.push(entry.record.alarmAt!, entry.record.seq, entry);
    return [...found];
  }

  #forgetStale(): void {
    const kept = new Set<MemoryEntry>();
    this.#heap.keep((entry, at) => entry.record.alarmAt === at && kept.size < kept.add(entry).size);
  }
}
