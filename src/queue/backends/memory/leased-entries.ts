import { PassingMap } from '../../passing-map.ts';
import type { MemoryEntry } from './memory-entry.ts';

/**
 * The tasks under a lease, by id. Nearly every change is to one of these few, which the processor's cache holds:
 * among all tasks the same look-up goes to main memory.
 */
export class LeasedEntries {
  readonly #byId = new PassingMap<string, MemoryEntry>();

  get(id: string): MemoryEntry | undefined {
    return this.#byId.get(id);
  }

  add(entry: MemoryEntry): void {
    this.#byId.set(entry.record.id, entry);
  }

  delete(entry: MemoryEntry): void {
    this.#byId.delete(entry.record.id);
  }

  /** Those whose lease ended at or before `now`, oldest lease first. */
  overdue(now: number, limit: number): MemoryEntry[] {
    return [...this.#byId.values()]
      .filter((entry) => leaseEnd(entry) <= now)
      .sort((a, b) => leaseEnd(a) - leaseEnd(b) || a.record.seq - b.record.seq)
      .slice(0, limit);
  }
}

function leaseEnd({ record }: MemoryEntry): number {
  return record.leaseExpiresAt ?? 0;
}
