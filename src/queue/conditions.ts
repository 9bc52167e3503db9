import { InvalidOptionError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { ID_PATTERN, REASON_BYTES_MAX } from './bounds.ts';
import { describe } from './description.ts';
import type { Task, Validation } from './task.ts';
import { cutBytes, RESULT_REJECTED } from './task-error.ts';
import type { ConditionFunction } from './task-queue.ts';
import type { UnjudgedEdge, Verdict } from './task-store.ts';
import type { Ending } from './transitions.ts';
import { isWhereText, misfit, readWhere } from './where.ts';

type Completed = Extract<Ending, { status: 'completed' }>;

/** Judges results: by the custom conditions of this process, by name, and by what a submission itself says. */
export class Conditions {
  readonly #byName = new Map<string, ConditionFunction>();

  register(name: string, condition: ConditionFunction): void {
    if (typeof name !== 'string' || !ID_PATTERN.test(name)) {
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
    const { condition, dependencyId } = edge;
    if (isWhereText(condition)) return this.#judgeWhere(edge, dependency);
    const of = `condition ${condition} on ${dependencyId}`;
    if (!dependency) return { ...edge, holds: false, reason: `${of}: the dependency is gone` };
    const problem = this.#problem(condition, of, dependency.result, dependency);
    return { ...edge, holds: problem === null, reason: problem ?? `${of} holds` };
  }

  /**
   * A completed ending as it is recorded: a failure where the task's own condition on its result does not hold.
   * The same result gives the same failure, so that a settlement sent again is known.
   */
  accept(ending: Completed, { where, custom }: Validation, task: () => Task): Ending {
    const result = ending.result === null ? undefined : (JSON.parse(ending.result) as JsonValue);
    const problem =
      where !== undefined
        ? misfit(where, result)
        : this.#problem(custom ?? '', `condition ${custom} on the result`, result, task());
    if (problem === null) return ending;
    const error = { name: 'ResultRejectedError', message: problem, code: RESULT_REJECTED };
    return { status: 'failed', error, retry: 'allowed' };
  }

  #judgeWhere(edge: UnjudgedEdge, dependency: Task | null): Verdict {
    const problem = dependency
      ? misfit(readWhere(edge.condition), dependency.result)
      : 'the dependency is gone';
    const reason =
      problem === null
        ? `dependency ${edge.dependencyId} fits`
        : `dependency ${edge.dependencyId}: ${problem}`;
    return { ...edge, holds: problem === null, reason: cutBytes(reason, REASON_BYTES_MAX) };
  }

  /** Why the condition does not hold, null where it does. */
  #problem(name: string, of: string, result: JsonValue | undefined, task: Task): string | null {
    const condition = this.#byName.get(name);
    if (!condition) return `${of} is not registered in this process`;
    try {
      // Widened: at run time a condition may return anything, e.g. a promise where it was written async.
      const holds: unknown = condition(result, task);
      if (typeof holds === 'boolean') return holds ? null : `${of} does not hold`;
      // Nobody awaits it; its rejection must not end the process.
      if (holds instanceof Promise) holds.catch(() => {});
      return `${of} returned ${describe(holds)}, expected true or false`;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return `${of} threw: ${message.slice(0, 200)}`.toWellFormed();
    }
  }
}
