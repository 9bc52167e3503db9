import { StoreUnavailableError } from '../errors.ts';

interface Call {
  readonly deadline: number;
  readonly fail: (error: unknown) => void;
}

/**
 * Calls under way, and when each is given up, by `performance.now()`. One timer looks after all of them: to set and
 * clear one for each took longer than to send it. It is left to run out, and keeps no process alive.
 */
export class Deadlines {
  readonly #calls = new Set<Call>();
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  /** Tells how the call ended; after its deadline, that it failed. */
  watch<T>(
    deadline: number,
    work: Promise<T>,
    done: (value: T) => void,
    fail: (error: unknown) => void,
  ): void {
    const call = { deadline, fail };
    this.#calls.add(call);
    if (deadline < this.#armedFor) this.#arm(deadline);
    // One that was given up is told of no more.
    work.then(
      (value) => {
        if (this.#calls.delete(call)) done(value);
      },
      (error) => {
        if (this.#calls.delete(call)) fail(error);
      },
    );
  }

  /** @throws StoreUnavailableError after the deadline. */
  within<T>(deadline: number, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.watch(deadline, work, resolve, reject);
    });
  }

  #arm(deadline: number): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#armedFor = deadline;
    // After a blocked event loop timers come before answers: one that has arrived is still in time.
    const look = () => setImmediate(() => this.#look());
    this.#timer = setTimeout(look, Math.max(1, deadline - performance.now())).unref();
  }

  #look(): void {
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    // Timers count whole ms, and may be up to one early.
    const now = performance.now() + 1;
    let earliest = Number.POSITIVE_INFINITY;
    for (const call of this.#calls) {
      if (call.deadline > now) earliest = Math.min(earliest, call.deadline);
      else if (this.#calls.delete(call))
        call.fail(new StoreUnavailableError('Redis did not answer in time; the call may be made again'));
    }
    if (earliest < this.#armedFor) this.#arm(earliest);
  }
}
