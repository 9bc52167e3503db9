import type { EndStatus } from '../../task.ts';
import { type StoreCounts, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';
import { KeyedHeap } from './keyed-heap.ts';
import type { MemoryEntry } from './memory-entry.ts';

const END_STATUSES: readonly EndStatus[] = ['completed', 'failed', 'cancelled', 'skipped'];

/** Twice as many as are ever told. */
const COUNTS_MAX = 2 * THROUGHPUT_MINUTES_MAX * END_STATUSES.length;

type EndCount = StoreCounts['endedPerMinute'][number];

/** The tasks that have ended, by time: what is old enough to purge, and how many ended in each of the last minutes. */
export class EndedEntries {
  /** By completedAt; stale where the task was redriven or purged since. */
  readonly #byTime = new KeyedHeap<MemoryEntry>();
  /** How many, by minute and status; see `keyOf`. */
  readonly #perMinute = new Map<number, number>();

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
    const first = keyOf(Math.floor(now / 60_000) - THROUGHPUT_MINUTES_MAX + 1, 0);
    return [...this.#perMinute]
      .filter(([key]) => key >= first)
      .sort(([a], [b]) => a - b)
      .map(([key, count]) => ({
        minute: Math.floor(key / END_STATUSES.length),
        status: END_STATUSES[key % END_STATUSES.length]!,
        count,
      }));
  }

  #count(status: EndStatus, minute: number): void {
    const key = keyOf(minute, END_STATUSES.indexOf(status));
    this.#perMinute.set(key, (this.#perMinute.get(key) ?? 0) + 1);
    if (this.#perMinute.size > COUNTS_MAX) this.#forgetBefore(minute - THROUGHPUT_MINUTES_MAX + 1);
  }

  #forgetBefore(minute: number): void {
    for (const key of this.#perMinute.keys()) if (key < keyOf(minute, 0)) this.#perMinute.delete(key);
  }
}

/** In order of time, then of status. */
function keyOf(minute: number, status: number): number {
  return minute * END_STATUSES.length + status;
}
