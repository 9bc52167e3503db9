/** What can be listed: it knows its own place. */
export interface Listed {
  /** −1 where it is on no list. */
  place: number;
}

/**
 * A list of what comes and goes, in no order. A Map or Set makes new tables as entries leave it, and the collector takes
 * what the old ones held for alive; here a place is simply taken by the next.
 */
export class Roster<T extends Listed> {
  readonly #listed: T[] = [];

  add(one: T): void {
    one.place = this.#listed.length;
    this.#listed.push(one);
  }

  remove(one: T): void {
    if (!this.has(one)) return;
    const last = this.#listed.pop()!;
    if (last !== one) {
      this.#listed[one.place] = last;
      last.place = one.place;
    }
    one.place = -1;
  }

  has(one: T): boolean {
    return this.#listed[one.place] === one;
  }

  get isEmpty(): boolean {
    return this.#listed.length === 0;
  }

  /** As they are now: who is listed or leaves meanwhile changes nothing. */
  all(): T[] {
    return this.#listed.slice();
  }
}
