import { KeyedHeap } from './keyed-heap.ts';

/** So many values have left a run before it is moved up. */
const LEFT_MIN = 1_024;

/**
 * A lane's values by rank, then sequence: a run for what comes in order, a heap for what does not, which is
 * what was retried or delayed. Nearly everything comes in order, and is taken at the cost of a deque however
 * much waits; in a heap of a million each step down meets memory that no cache holds.
 */
export class LaneQueue<T> {
  #ranks: number[] = [];
  #seqs: number[] = [];
  #values: (T | undefined)[] = [];
  /** Where the run begins: what stood before has left. */
  #start = 0;
  /** Only in lanes that have met such a value. */
  #others: KeyedHeap<T> | null = null;

  get isEmpty(): boolean {
    return this.peekRank() === undefined;
  }

  peek(): T | undefined {
    return this.#isRunFirst() ? this.#values[this.#start] : this.#others?.peek();
  }

  /** The rank of the first value; undefined while empty. */
  peekRank(): number | undefined {
    return this.#isRunFirst() ? this.#ranks[this.#start] : this.#others?.peekKey();
  }

  /** Its sequence. */
  peekSeq(): number | undefined {
    return this.#isRunFirst() ? this.#seqs[this.#start] : this.#others?.peekTie();
  }

  push(rank: number, seq: number, value: T): void {
    if (this.#isAfterRun(rank, seq)) {
      this.#append(rank, seq, value);
    } else {
      this.#others ??= new KeyedHeap();
      this.#others.push(rank, seq, value);
    }
  }

  pop(): T | undefined {
    if (!this.#isRunFirst()) return this.#others?.pop();
    const value = this.#values[this.#start];
    this.#values[this.#start] = undefined;
    this.#start++;
    if (this.#start >= LEFT_MIN && this.#start * 2 >= this.#values.length) this.#moveUp();
    return value;
  }

  /** Forgets all other values. */
  keep(isKept: (value: T) => boolean): void {
    const ranks = this.#ranks;
    const seqs = this.#seqs;
    const values = this.#values;
    const start = this.#start;
    this.#ranks = [];
    this.#seqs = [];
    this.#values = [];
    this.#start = 0;
    for (let i = start; i < values.length; i++) {
      const value = values[i]!;
      if (isKept(value)) this.#append(ranks[i]!, seqs[i]!, value);
    }
    this.#others?.keep(isKept);
  }

  #append(rank: number, seq: number, value: T): void {
    if (this.#values.length === 0) {
      // Most lanes under limits never hold more than this one: a list that grows makes room for seventeen.
      this.#ranks = [rank];
      this.#seqs = [seq];
      this.#values = [value];
      return;
    }
    this.#ranks.push(rank);
    this.#seqs.push(seq);
    this.#values.push(value);
  }

  #isAfterRun(rank: number, seq: number): boolean {
    const last = this.#values.length - 1;
    if (last < this.#start) return true;
    const lastRank = this.#ranks[last]!;
    return rank > lastRank || (rank === lastRank && seq > this.#seqs[last]!);
  }

  #isRunFirst(): boolean {
    const start = this.#start;
    if (start >= this.#values.length) return false;
    return this.#others === null || this.#goesBeforeOthers(start, this.#others);
  }

  #goesBeforeOthers(start: number, others: KeyedHeap<T>): boolean {
    const rank = others.peekKey();
    if (rank === undefined) return true;
    const own = this.#ranks[start]!;
    return own < rank || (own === rank && this.#seqs[start]! < others.peekTie()!);
  }

  #moveUp(): void {
    this.#ranks = this.#ranks.slice(this.#start);
    this.#seqs = this.#seqs.slice(this.#start);
    this.#values = this.#values.slice(this.#start);
    this.#start = 0;
  }
}
