import { EventBuffer, type NextEvent, type RunEvent } from './run-events.ts';

/** A run that is told to a reader. */
export interface ToldRun {
  abort(): void;
  /** Resolves with the last event of the run, when it has ended. */
  readonly end: Promise<RunEvent>;
}

type Begin = (onEvent: (event: RunEvent) => void) => ToldRun;

/**
 * The events of a run for one reader. The run begins with the first `next`, and is aborted by a reader that leaves.
 * An async generator by hand: the language's own makes four promises for an event, a twentieth of a short run.
 */
export class RunStream implements AsyncGenerator<RunEvent, void, void> {
  readonly #begin: Begin;
  readonly #buffer = new EventBuffer();
  #run: ToldRun | undefined;
  /** The run and what it tells have ended; it never rejects. */
  #told: Promise<void> = Promise.resolve();

  constructor(begin: Begin) {
    this.#begin = begin;
  }

  next(): Promise<NextEvent> {
    if (this.#run === undefined && !this.#buffer.isEnded) this.#start();
    return this.#buffer.next();
  }

  /** Aborts the run, and resolves when it has stopped. */
  async return(): Promise<NextEvent> {
    if (!this.#buffer.isEnded) this.#run?.abort();
    this.#buffer.close();
    await this.#told;
    return this.#buffer.next();
  }

  async throw(error: unknown): Promise<NextEvent> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #start(): void {
    try {
      this.#run = this.#begin((event) => this.#buffer.push(event));
    } catch (error) {
      this.#buffer.end(error);
      return;
    }
    this.#told = this.#run.end.then(
      (last) => {
        this.#buffer.push(last);
        this.#buffer.end();
      },
      (error: unknown) => this.#buffer.end(error),
    );
  }
}
