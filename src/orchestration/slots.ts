import PQueue from 'p-queue';

/**
 * Runs items in the order added, so many at a time. A lane takes one item after the other while there are any:
 * a burst of a hundred short runs pays for a job of p-queue's per slot, and not for one per run.
 */
export class Slots<T> {
  readonly #lanes: PQueue;
  readonly #run: (item: T) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  readonly #waiting: T[] = [];

  constructor(concurrency: number, run: (item: T) => Promise<void>, onError: (error: unknown) => void) {
    this.#lanes = new PQueue({ concurrency });
    this.#run = run;
    this.#onError = onError;
  }

  /** A lane that waits for its slot will take this item as well, whichever slot that is. */
  add(item: T): void {
    this.#waiting.push(item);
    if (this.#lanes.size === 0) this.#lanes.add(this.#lane).catch(this.#onError);
  }

  /** Forgets what has not begun. */
  clear(): void {
    this.#waiting.length = 0;
  }

  readonly #lane = async (): Promise<void> => {
    for (let item = this.#waiting.shift(); item !== undefined; item = this.#waiting.shift()) {
      await this.#run(item).catch(this.#onError);
    }
  };
}
