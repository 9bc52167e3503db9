/**
 * Which sequences tasks get that are sent now. It is right as long as nobody else submits; what was told wrongly
 * costs Redis time, so it is told while the last answer was as foreseen.
 */
export class Foresight {
  #next = Number.NaN;
  #unanswered = 0;
  #isRight = false;

  /** So many tasks are sent; with which sequence the first of them is stored. */
  sent(count: number): number {
    const first = this.#next;
    this.#next += count;
    this.#unanswered += count;
    return first;
  }

  get isRight(): boolean {
    return this.#isRight;
  }

  /** …and are stored, or are not; `last`: the sequence given last, where that is known. */
  answered(first: number, count: number, last: number | undefined): void {
    this.#unanswered -= count;
    this.#isRight = last === first + count - 1;
    if (last !== undefined) this.#next = last + 1 + this.#unanswered;
  }
}
