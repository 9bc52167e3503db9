import type { JsonObject } from '../json.ts';
import { readDetails } from './details.ts';
import type { ResolvedOptions } from './queue-options.ts';
import type { NewTask, RetryPolicy } from './task.ts';
import type { TaskRecord } from './task-store.ts';
import { retryPolicyOf, timeoutOf, toTask } from './task-view.ts';
import type { DecisionContext } from './transitions.ts';

/** The settings that hold for one task, worked out only as far as a decision asks: most settlements ask for the time alone. */
export class TaskContext implements DecisionContext {
  readonly now: number;
  readonly #record: TaskRecord;
  readonly submission: NewTask;
  readonly #options: ResolvedOptions;

  constructor(record: TaskRecord, submission: NewTask, options: ResolvedOptions, now: number) {
    this.now = now;
    this.#record = record;
    this.submission = submission;
    this.#options = options;
  }

  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  get maxRetries(): number {
    return this.submission.maxRetries ?? this.#options.defaults.maxRetries;
  }

  get maxCrashes(): number {
    return this.submission.maxCrashes ?? this.#options.defaults.maxCrashes;
  }

  /** Once an agent was assigned its manager keeps the queue-wide bound, since the agent's own is nearer. */
  get timeoutMs(): number | undefined {
    const ofTask = this.ownTimeoutMs;
    if (ofTask !== undefined || this.#options.timeoutMs === undefined) return ofTask;
    return readDetails(this.#record.details).assignedAgent === undefined
      ? this.#options.timeoutMs
      : undefined;
  }

  get ownTimeoutMs(): number | undefined {
    return timeoutOf(this.submission, this.#options.defaults);
  }

  get retry(): RetryPolicy {
    return retryPolicyOf(this.submission, this.#options.defaults);
  }

  get random(): () => number {
    return this.#options.random;
  }

  get metadata(): JsonObject {
    return toTask(this.#record, this.submission, this.#options.defaults).metadata;
  }
}
