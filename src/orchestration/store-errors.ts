import { StoreUnavailableError } from '../errors.ts';

/**
 * Remembers which errors came from the store that keeps the tasks' own checkpoints and leases. An agent may
 * throw a StoreUnavailableError too, about a database of its own; that is a failure of the agent's.
 */
export class StoreErrors {
  readonly #seen = new WeakSet<object>();

  has(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.#seen.has(error);
  }

  from<T>(call: Promise<T>): Promise<T> {
    return call.then(undefined, this.#rethrow);
  }

  readonly #rethrow = (error: unknown): never => {
    if (error instanceof StoreUnavailableError) this.#seen.add(error);
    throw error;
  };
}
