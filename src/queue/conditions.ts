import { InvalidOptionError } from '../errors.ts';
import { ID_PATTERN } from './bounds.ts';
import { describe } from './submission.ts';
import type { Task } from './task.ts';
import type { ConditionFunction } from './task-queue.ts';
import type { UnjudgedEdge, Verdict } from './task-store.ts';

/** The custom conditions of this process, by name. */
export class Conditions {
  readonly #byName = new Map<string, ConditionFunction>();

  register(name: string, condition: ConditionFunction): void {
    if (!ID_PATTERN.test(name)) {
      throw new InvalidOptionError('condition name', '1–128 characters of A–Z a–z 0–9 _ . : -', name);
    }
    if (typeof condition !== 'function')
      throw new InvalidOptionError(`condition ${name}`, 'a function', typeof condition);
    this.#byName.set(name, condition);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Whether this process knows what an edge wants; what is no name says so itself. */
  knows(condition: string): boolean {
    return this.has(condition) || !ID_PATTERN.test(condition);
  }

  /** Asks the condition about a completed dependency. A missing or throwing one fails the edge with a reason. */
  judge(edge: UnjudgedEdge, dependency: Task | null): Verdict {
    const condition = this.#byName.get(edge.condition);
    const of = `condition ${edge.condition} on ${edge.dependencyId}`;
    if (!condition) return { ...edge, holds: false, reason: `${of} is not registered in this process` };
    if (!dependency) return { ...edge, holds: false, reason: `${of}: the dependency is gone` };
    try {
      // Widened: at run time a condition may return anything, e.g. a promise where it was written async.
      const holds: unknown = condition(dependency.result, dependency);
      if (typeof holds !== 'boolean') {
        // Nobody awaits it; its rejection must not end the process.
        if (holds instanceof Promise) holds.catch(() => {});
        const got = describe(holds);
        return { ...edge, holds: false, reason: `${of} returned ${got}, expected true or false` };
      }
      return { ...edge, holds, reason: `${of} ${holds ? 'holds' : 'does not hold'}` };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { ...edge, holds: false, reason: `${of} threw: ${message.slice(0, 200)}`.toWellFormed() };
    }
  }
}
