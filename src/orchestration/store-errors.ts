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

  /** The same saver, whose errors are remembered. Its methods run on the saver itself, which may have private fields. */
  watch<S extends object>(saver: S): S {
    const watched = new Map<unknown, unknown>();
    return new Proxy(saver, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function' || key === 'constructor') return value;
        if (!watched.has(value)) watched.set(value, this.#watched(target, value as Method));
        return watched.get(value);
      },
      set: (target, key, value) => Reflect.set(target, key, value, target),
    });
  }

  #watched(saver: object, method: Method): Method {
    return (...args) => {
      const result = method.apply(saver, args);
      return result instanceof Promise ? this.from(result) : result;
    };
  }

  readonly #rethrow = (error: unknown): never => {
    if (error instanceof StoreUnavailableError) this.#seen.add(error);
    throw error;
  };
}

type Method = (...args: unknown[]) => unknown;
