/** Refills that may be under way: the store works on one while the answer to the last is read. */
const REFILLS_MAX = 2;

/**
 * The order of one node's calls about holds: one after another, but for refills, of which one may follow another at
 * once. Answers are read in the order of their questions.
 */
export class HoldCalls {
  #last: Promise<unknown> = Promise.resolve();
  /** Calls under way or in line, the refills among them. */
  #size = 0;
  readonly #refills: Promise<void>[] = [];
  #answers: Promise<unknown> = Promise.resolve();

  /** Under way, or in line. */
  get size(): number {
    return this.#size;
  }

  get refills(): number {
    return this.#refills.length;
  }

  /** Beside other refills only. */
  get mayRefill(): boolean {
    return this.#size === this.#refills.length && this.#refills.length < REFILLS_MAX;
  }

  /** How many answers come before the one to a call that is made now. */
  get ahead(): number {
    return this.#size === 0 ? 0 : Math.max(1, this.#refills.length);
  }

  /** Resolves after the next of them. */
  next(): Promise<unknown> {
    return this.#refills[0] ?? this.#last;
  }

  /** When all before it are over. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#size++;
    const done = this.#last.then(work).finally(() => {
      this.#size--;
    });
    this.#last = done.catch(() => {});
    return done;
  }

  /** At once; where `mayRefill` says so. `refill` does not fail. */
  refill(refill: () => Promise<void>): void {
    this.#size++;
    const done = refill().finally(() => {
      this.#size--;
      this.#refills.splice(this.#refills.indexOf(done), 1);
    });
    this.#refills.push(done);
    this.#last = Promise.all([this.#last, done]);
  }

  /** What was asked later is read later. */
  inOrder<T>(answer: Promise<T>): Promise<T> {
    const inOrder = this.#answers.then(() => answer);
    this.#answers = inOrder.catch(() => {});
    return inOrder;
  }
}
