import type { EndStatus } from '../../task.ts';
import { type StoreCounts, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';
import { KeyedHeap } from './keyed-heap.ts';
import type { MemoryEntry } from './memory-entry.ts';

const END_STATUSES: readonly EndStatus[] = ['completed', 'failed', 'cancelled', 'skipped'];

type EndCount = StoreCounts['endedPerMinute'][number];

/** The tasks that have ended, by time: what is old enough to purge, and how many ended in each of the last minutes. */
export class EndedEntries {
  /** By completedAt; stale where the task was redriven or purged since. */
  readonly #byTime = new KeyedHeap<MemoryEntry>();
  readonly #perMinute = new Map<number, { minute: number; status: EndStatus; count: number }>();

  add(entry: MemoryEntry, status: EndStatus, now: number): void {
    this.#byTime.push(entry.record.completedAt ?? now, entry.record.seq, entry);
    this.#count(status, Math.floor(now / 60_000));
  }

  /** Removes and returns the first that ended before `time` and was not redriven since. */
  takeBefore(time: number): MemoryEntry | undefined {
    for (;;) {
      const endedAt = this.#byTime.peekKey();
      if (endedAt === undefined || endedAt >= time) return undefined;
      const entry = this.#byTime.pop()!;
      if (entry.record.completedAt === endedAt) return entry;
    }
  }

  /** Oldest first, without the minutes that no longer count at `now`. */
  perMinute(now: number): EndCount[] {
    const before = Math.floor(now / 60_000) - THROUGHPUT_MINUTES_MAX;
    return [...this.#perMinute.values()]
      .filter(({ minute }) => minute > before)
      .sort((a, b) => a.minute - b.minute || END_STATUSES.indexOf(a.status) - END_STATUSES.indexOf(b.status))
      .map((counted) => ({ ...counted }));
  }

  #count(status: EndStatus, minute: number): void {
    const key = minute * END_STATUSES.length + END_STATUSES.indexOf(status);
    const counted = this.#perMinute.get(key);
    if (counted) {
      counted.count++;
      return;
    }
    this.#perMinute.set(key, { minute, status, count: 1 });
    for (const [old, entry] of this.#perMinute) {
      if (entry.minute <= minute - THROUGHPUT_MINUTES_MAX) this.#perMinute.delete(old);
    }
  }
}
