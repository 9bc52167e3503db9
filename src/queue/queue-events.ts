import { InvalidOptionError, JottyError } from '../errors.ts';
import type { QueueEvents } from './task-queue.ts';

type Listener<E extends keyof QueueEvents> = (value: QueueEvents[E]) => void;

/** More listeners than this on one event are a leak, and refused. */
const LISTENERS_MAX = 10_000;

const EVENTS: ReadonlySet<string> = new Set(
  Object.keys({
    transition: true,
    completed: true,
    failed: true,
    available: true,
    leaseLost: true,
    purged: true,
    threadsPurged: true,
    paused: true,
    resumed: true,
    error: true,
  } satisfies Record<keyof QueueEvents, true>),
);

/** A typed emitter in which no listener can harm another, and an unheard `error` ends nothing. */
export class QueueEmitter {
  readonly #listeners = new Map<keyof QueueEvents, Set<Listener<never>>>();

  on<E extends keyof QueueEvents>(event: E, listener: Listener<E>): () => void {
    if (!EVENTS.has(event)) throw new InvalidOptionError('event', [...EVENTS].join(', '), event);
    if (typeof listener !== 'function') throw new InvalidOptionError('listener', 'a function', listener);
    const listeners = this.#listeners.get(event) ?? new Set();
    if (listeners.size >= LISTENERS_MAX) {
      throw new JottyError(
        'TOO_MANY_LISTENERS',
        `expected at most ${LISTENERS_MAX} listeners on '${event}'; remove those no longer needed`,
      );
    }
    listeners.add(listener as Listener<never>);
    this.#listeners.set(event, listeners);
    return () => {
      listeners.delete(listener as Listener<never>);
    };
  }

  has(event: keyof QueueEvents): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  emit<E extends keyof QueueEvents>(event: E, value: QueueEvents[E]): void {
    const listeners = this.#listeners.get(event);
    if (!listeners || listeners.size === 0) return;
    for (const listener of [...listeners]) {
      try {
        (listener as Listener<E>)(value);
      } catch (error) {
        if (event !== 'error') this.emit('error', error instanceof Error ? error : new Error(String(error)));
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
