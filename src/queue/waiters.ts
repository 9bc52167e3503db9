import type { Clock } from '../clock.ts';
import { ClosedError, InvalidOptionError, JottyError, TaskNotFoundError, TimeoutError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { WAITERS_MAX } from './bounds.ts';
import { isEnded, type Task } from './task.ts';

interface Waiter {
  readonly settle: (outcome: Task | Error) => void;
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** In ms; Infinity is the same as none. @default none */
  readonly timeoutMs?: number | undefined;
}

/** Those who wait for a task's end. Told by `ended`; whoever makes them watches the store too. */
export class Waiters {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<Waiter>>();
  #count = 0;
  #letGo: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get ids(): string[] {
    return [...this.#waiting.keys()];
  }

  get size(): number {
    return this.#count;
  }

  wait(id: string, options: WaitOptions): Promise<Task> {
    const { signal, timeoutMs } = requireOptions(options, 'an object');
    if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0)) {
      return Promise.reject(new InvalidOptionError('timeoutMs', 'a positive number of ms', timeoutMs));
    }
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#count >= WAITERS_MAX) {
      return Promise.reject(
        new JottyError('TOO_MANY_WAITERS', `expected at most ${WAITERS_MAX} waits at a time (WAITERS_MAX)`),
      );
    }
    return new Promise((resolve, reject) => {
      const cleanup: (() => void)[] = [];
      const waiter: Waiter = {
        settle: (outcome) => {
          this.#remove(id, waiter);
          for (const undo of cleanup) undo();
          if (outcome instanceof Error) reject(outcome);
          else resolve(outcome);
        },
      };
      if (signal) {
        const onAbort = () =>
          waiter.settle(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
        signal.addEventListener('abort', onAbort, { once: true });
        cleanup.push(() => signal.removeEventListener('abort', onAbort));
      }
      if (timeoutMs !== undefined && timeoutMs !== Number.POSITIVE_INFINITY) {
        const timer = this.#clock.setTimeout(
          () => waiter.settle(new TimeoutError(`task ${id} did not end within ${timeoutMs} ms`)),
          timeoutMs,
        );
        cleanup.push(() => this.#clock.clearTimeout(timer));
      }
      this.#add(id, waiter);
    });
  }

  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Tells how the task stands; null stands for a task that is gone. */
  tell(id: string, task: Task | null): void {
    if (task !== null && !isEnded(task.status)) return;
    for (const waiter of [...(this.#waiting.get(id) ?? [])]) waiter.settle(task ?? new TaskNotFoundError(id));
  }

  close(): void {
    for (const waiters of [...this.#waiting.values()]) {
      for (const waiter of [...waiters]) waiter.settle(new ClosedError('the queue'));
    }
  }

  #add(id: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(id) ?? new Set();
    waiters.add(waiter);
    this.#waiting.set(id, waiters);
    this.#count++;
    // Somebody awaits the end: the process must not exit before, though nothing else may keep it alive.
    this.#letGo ??= this.#clock.holdProcess?.();
  }

  #remove(id: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(id);
    if (!waiters?.delete(waiter)) return;
    this.#count--;
    if (this.#count === 0) {
      this.#letGo?.();
      this.#letGo = undefined;
    }
    if (waiters.size === 0) this.#waiting.delete(id);
  }
}
