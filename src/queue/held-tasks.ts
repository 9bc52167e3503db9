import { PassingMap } from './passing-map.ts';
import { isLeased, type NewTask, type Task } from './task.ts';
import type { TaskRecord } from './task-store.ts';
import { type KnownTexts, type TaskDefaults, toTask } from './task-view.ts';

export interface HeldTask {
  readonly record: TaskRecord;
  readonly submission: NewTask;
}

/**
 * The tasks this queue object holds leases on, as it last wrote or read them. A settlement starts from here
 * and saves a read; the store's compare-and-set tells when somebody else wrote in between.
 */
export class HeldTasks {
  readonly #byId = new PassingMap<string, HeldTask>();
  readonly #owner: string;
  readonly #defaults: TaskDefaults;

  constructor(owner: string, defaults: TaskDefaults) {
    this.#owner = owner;
    this.#defaults = defaults;
  }

  get size(): number {
    return this.#byId.size;
  }

  get ids(): string[] {
    return [...this.#byId.keys()];
  }

  get(id: string): HeldTask | undefined {
    return this.#byId.get(id);
  }

  /** Keeps what is leased, forgets what is not; returns the task as its users see it. */
  take(record: TaskRecord, submission: NewTask, known?: KnownTexts): Task {
    const isHeld = isLeased(record.status) && record.owner === this.#owner;
    if (isHeld) this.#byId.set(record.id, { record, submission });
    else this.#byId.delete(record.id);
    return toTask(record, submission, this.#defaults, known);
  }

  /** Takes in a newer state of a task that is still held. */
  refresh(record: TaskRecord): void {
    const held = this.#byId.get(record.id);
    if (held) this.#byId.set(record.id, { ...held, record });
  }

  forget(id: string): void {
    this.#byId.delete(id);
  }

  /** Forgets leases that ran out before `time`: their holder neither settled nor heartbeat, and the sweeper has them. */
  forgetExpired(time: number): void {
    for (const { record } of this.#byId.values()) {
      if ((record.leaseExpiresAt ?? 0) < time) this.#byId.delete(record.id);
    }
  }
}
