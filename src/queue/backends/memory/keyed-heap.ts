/**
 * Values in order of a number, and of a second one among equals: a binary heap whose numbers lie in two plain
 * arrays. At a million values a comparison through value, record and boxed number would miss the cache three times.
 */
export class KeyedHeap<T> {
  readonly #keys: number[] = [];
  readonly #ties: number[] = [];
  readonly #values: T[] = [];

  get size(): number {
    return this.#values.length;
  }

  peek(): T | undefined {
    return this.#values[0];
  }

  /** The first number of the first value; undefined while empty. */
  peekKey(): number | undefined {
    return this.#keys[0];
  }

  /** Its second number. */
  peekTie(): number | undefined {
    return this.#ties[0];
  }

  push(key: number, tie: number, value: T): void {
    let hole = this.#values.length;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (this.#isBefore(parent, key, tie)) break;
      this.#move(parent, hole);
      hole = parent;
    }
    this.#put(hole, key, tie, value);
  }

  pop(): T | undefined {
    const first = this.#values[0];
    const key = this.#keys.pop();
    const tie = this.#ties.pop();
    const last = this.#values.pop();
    if (this.#values.length > 0) this.#sink(key!, tie!, last!);
    return first;
  }

  /** Gives the first value other numbers. Where it stays near the front this is a fraction of a pop and a push. */
  moveFirst(key: number, tie: number): void {
    this.#sink(key, tie, this.#values[0]!);
  }

  /** Forgets all other values. */
  keep(isKept: (value: T, key: number) => boolean): void {
    const keys = this.#keys.splice(0);
    const ties = this.#ties.splice(0);
    const values = this.#values.splice(0);
    values.forEach((value, i) => {
      if (isKept(value, keys[i]!)) this.push(keys[i]!, ties[i]!, value);
    });
  }

  #sink(key: number, tie: number, value: T): void {
    const size = this.#values.length;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBefore(child + 1, this.#keys[child]!, this.#ties[child]!)) child++;
      if (!this.#isBefore(child, key, tie)) break;
      this.#move(child, hole);
      hole = child;
    }
    this.#put(hole, key, tie, value);
  }

  #isBefore(index: number, otherKey: number, otherTie: number): boolean {
    const key = this.#keys[index]!;
    return key < otherKey || (key === otherKey && this.#ties[index]! < otherTie);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#keys[from]!, this.#ties[from]!, this.#values[from]!);
  }

  #put(index: number, key: number, tie: number, value: T): void {
    this.#keys[index] = key;
    this.#ties[index] = tie;
    this.#values[index] = value;
  }
}
