import type { MemoryEntry } from './memory-entry.ts';

/** The tasks under a lease. Each knows its place, so that it comes and goes without a search. */
export class LeasedEntries {
  readonly #entries: MemoryEntry[] = [];

  add(entry: MemoryEntry): void {
    if (entry.leasedAs === -1) entry.leasedAs = this.#entries.push(entry) - 1;
  }

  /** The last one moves to the place that falls free. */
  delete(entry: MemoryEntry): void {
    if (entry.leasedAs === -1) return;
    const last = this.#entries.pop()!;
    if (last !== entry) {
      this.#entries[entry.leasedAs] = last;
      last.leasedAs = entry.leasedAs;
    }
    entry.leasedAs = -1;
  }

  /** Those whose lease ended at or before `now`, oldest lease first. */
  overdue(now: number, limit: number): MemoryEntry[] {
    return this.#entries
      .filter((entry) => leaseEnd(entry) <= now)
      .sort((a, b) => leaseEnd(a) - leaseEnd(b) || a.record.seq - b.record.seq)
      .slice(0, limit);
  }
}

function leaseEnd({ record }: MemoryEntry): number {
  return record.leaseExpiresAt ?? 0;
}
