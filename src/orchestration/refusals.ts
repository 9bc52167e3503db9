import { refusalOf } from '../queue/rate-limit.ts';
import type { Outcome, Task } from '../queue/task.ts';
import { isRefused } from './outcome-of.ts';

type Limited = Pick<Task, 'id' | 'limits'>;

/**
 * Refusals for too many calls that are on their way to the store. Until one is recorded there its keys are open to
 * claims, and where those travel by themselves, as to Redis, the next one would overtake it.
 */
export class Refusals {
  /** The keys, by the task that was refused. */
  readonly #keys = new Map<string, readonly string[]>();

  get isAny(): boolean {
    return this.#keys.size > 0;
  }

  /** Takes note of an outcome that is on its way, where it is a refusal. */
  note(task: Limited, outcome: Outcome): void {
    if (outcome.status !== 'failed' || !isRefused(outcome)) return;
    const key = refusalOf(outcome.error)?.key ?? null;
    this.#keys.set(task.id, key === null ? keysOf(task) : [key]);
  }

  /** The task's outcome is in the store, or never will be. */
  recorded({ id }: Limited): void {
    this.#keys.delete(id);
  }

  /** Whether a task that was claimed in the meantime needs one of the keys. */
  concern(task: Limited): boolean {
    if (!this.isAny) return false;
    const needed = keysOf(task);
    return [...this.#keys.values()].flat().some((key) => needed.includes(key));
  }
}

function keysOf({ limits = [] }: Limited): readonly string[] {
  return limits.map(({ key }) => key);
}
