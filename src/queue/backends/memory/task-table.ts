import type { ListPage, ListQuery, NewRecord, TaskRecord } from '../../task-store.ts';
import { copyOf, type MemoryEntry, newEntry } from './memory-entry.ts';

/** So many holes are not worth closing. */
const HOLES_MAX = 1_000;

/** All tasks, by id and in order of sequence. */
export class TaskTable {
  readonly #byId = new Map<string, MemoryEntry>();
  /** Removed entries leave holes until they are half of it. */
  #bySeq: MemoryEntry[] = [];
  #holes = 0;
  #lastSeq = 0;

  get(id: string): MemoryEntry | undefined {
    return this.#byId.get(id);
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** Whether this very entry is stored; its id may have been given to another task since. */
  holds(entry: MemoryEntry): boolean {
    return this.#byId.get(entry.record.id) === entry;
  }

  add(record: NewRecord): MemoryEntry {
    const entry = newEntry(record, ++this.#lastSeq);
    this.#byId.set(record.id, entry);
    this.#bySeq.push(entry);
    return entry;
  }

  remove(entry: MemoryEntry): void {
    this.#byId.delete(entry.record.id);
    this.#holes++;
    if (this.#holes > HOLES_MAX && this.#holes > this.#bySeq.length / 2) {
      this.#bySeq = this.#bySeq.filter((kept) => this.holds(kept));
      this.#holes = 0;
    }
  }

  list({ statuses, agentTypes, createdAfter, after, limit }: ListQuery): ListPage {
    const records: TaskRecord[] = [];
    for (let i = this.#indexAfter(after); i < this.#bySeq.length; i++) {
      const entry = this.#bySeq[i]!;
      const { record } = entry;
      const isWanted =
        this.holds(entry) &&
        (statuses === null || statuses.includes(record.status)) &&
        (agentTypes === null || (record.agentType !== null && agentTypes.includes(record.agentType))) &&
        (createdAfter === null || record.createdAt >= createdAfter);
      if (!isWanted) continue;
      if (records.length === limit) return { records, next: records[limit - 1]!.seq };
      records.push(copyOf(entry));
    }
    return { records, next: null };
  }

  /** Where sequences above `after` begin, by binary search. */
  #indexAfter(after: number): number {
    let low = 0;
    let high = this.#bySeq.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#bySeq[middle]!.record.seq > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
