import type { MemoryEntry } from './memory-entry.ts';

const CAPACITY_MIN = 64;

/**
 * Entries in order of rank, then sequence: a binary heap whose keys lie in two plain arrays of numbers. At a
 * million entries a comparison through entry, record and boxed number would miss the cache three times.
 */
export class RankHeap {
  #ranks = new Float64Array(CAPACITY_MIN);
  #seqs = new Float64Array(CAPACITY_MIN);
  readonly #entries: MemoryEntry[] = [];

  peek(): MemoryEntry | undefined {
    return this.#entries[0];
  }

  /** Whether this heap's first entry goes before the other's. Both must hold one. */
  goesBefore(other: RankHeap): boolean {
    const rank = this.#ranks[0]!;
    const otherRank = other.#ranks[0]!;
    return rank < otherRank || (rank === otherRank && this.#seqs[0]! < other.#seqs[0]!);
  }

  push(entry: MemoryEntry): void {
    const { rank, seq } = entry.record;
    let i = this.#entries.length;
    if (i === this.#ranks.length) this.#grow();
    this.#entries.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(rank, seq, parent)) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#place(i, rank, seq, entry);
  }

  pop(): MemoryEntry | undefined {
    const first = this.#entries[0];
    const last = this.#entries.pop();
    const size = this.#entries.length;
    if (size > 0 && last !== undefined) this.#sink(this.#ranks[size]!, this.#seqs[size]!, last, size);
    return first;
  }

  #sink(rank: number, seq: number, entry: MemoryEntry, size: number): void {
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBefore(this.#ranks[child + 1]!, this.#seqs[child + 1]!, child)) child++;
      if (this.#isBefore(rank, seq, child)) break;
      this.#move(child, i);
      i = child;
    }
    this.#place(i, rank, seq, entry);
  }

  #isBefore(rank: number, seq: number, index: number): boolean {
    const other = this.#ranks[index]!;
    return rank < other || (rank === other && seq < this.#seqs[index]!);
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#ranks[from]!, this.#seqs[from]!, this.#entries[from]!);
  }

  #place(index: number, rank: number, seq: number, entry: MemoryEntry): void {
    this.#ranks[index] = rank;
    this.#seqs[index] = seq;
    this.#entries[index] = entry;
  }

  #grow(): void {
    this.#ranks = doubled(this.#ranks);
    this.#seqs = doubled(this.#seqs);
  }
}

function doubled(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}
