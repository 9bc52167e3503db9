import type { Clock } from '../clock.ts';
import type { Approvals } from './approvals.ts';
import { rungClock } from './clocks.ts';
import type { HeldTasks } from './held-tasks.ts';
import type { ResolvedOptions } from './queue-options.ts';
import { intactSubmission } from './submission.ts';
import type { NewTask, Task } from './task.ts';
import { TaskContext } from './task-context.ts';
import type { Change, TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission, timeoutOf } from './task-view.ts';
import { boundedLease, type TaskAction } from './transitions.ts';

export interface AdmissionOptions {
  readonly store: TaskStore;
  readonly options: ResolvedOptions;
  readonly isInProcess: boolean;
  readonly held: HeldTasks;
  readonly approvals: Approvals;
  readonly act: (id: string, action: TaskAction, known: TaskRecord) => Promise<Task>;
  readonly onError: (error: unknown) => void;
}

/**
 * Takes what was claimed into this process's hands. What no worker must get is left out: damaged tasks, which are
 * quarantined, approvals, which are asked, and what has no time left.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  // Looked at for every task; see StoredTaskQueue's own.
  readonly #clock: Clock;
  readonly #isInProcess: boolean;
  readonly #held: HeldTasks;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#clock = options.options.clock;
    this.#isInProcess = options.isInProcess;
    this.#held = options.held;
  }

  async admit(records: readonly TaskRecord[], isStarted: boolean, tasks: Task[]): Promise<void> {
    const shortened: Change[] = [];
    const now = this.#clock.now();
    for (const record of records) {
      const submission = this.#isInProcess ? readSubmission(record) : intactSubmission(record);
      if (!submission) await this.#options.act(record.id, { type: 'quarantine' }, record);
      else if (rungClock(record, submission, now))
        await this.#options.act(record.id, { type: 'alarm', fence: record.fence }, record);
      else if (submission.approval) await this.#options.approvals.ask(record, submission);
      else {
        tasks.push(this.#held.take(record, submission));
        const change = isStarted ? this.#boundedLease(record, submission, now) : null;
        if (change) shortened.push(change);
      }
    }
    if (shortened.length > 0) await this.#shorten(shortened, tasks);
  }

  #boundedLease(record: TaskRecord, submission: NewTask, now: number): Change | null {
    const { options } = this.#options;
    const isBounded =
      submission.deadline !== undefined ||
      (timeoutOf(submission, options.defaults) ?? options.timeoutMs) !== undefined;
    return isBounded ? boundedLease(record, new TaskContext(record, submission, options, now)) : null;
  }

  /** A claim leases all its tasks alike; attempts that have less time than a lease get a shorter one. */
  async #shorten(changes: readonly Change[], tasks: Task[]): Promise<void> {
    const { store, options, onError } = this.#options;
    const places = new Map(tasks.map((task, i) => [task.id, i]));
    try {
      for (const applied of await store.apply(changes, options.clock.now())) {
        const one = applied && this.#held.get(applied.record.id);
        if (one) tasks[places.get(one.record.id)!] = this.#held.take(applied.record, one.submission);
      }
    } catch (error) {
      // The tasks are claimed all the same; heartbeats keep to the time as well.
      onError(error);
    }
  }
}
