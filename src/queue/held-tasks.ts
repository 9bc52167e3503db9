import { isLeased, type NewTask } from './task.ts';
import type { TaskRecord } from './task-store.ts';

export interface HeldTask {
  readonly record: TaskRecord;
  readonly submission: NewTask;
}

/**
 * What the map holds in place of the task itself. A map leaves its old tables behind as it grows and shrinks,
 * linked one to the next, until the next full collection; a slot that was emptied keeps nothing alive there.
 */
interface Slot {
  held: HeldTask | undefined;
}

/**
 * The tasks this queue object holds leases on, as it last wrote or read them. A settlement starts from here
 * and saves a read; the store's compare-and-set tells when somebody else wrote in between.
 */
export class HeldTasks {
  readonly #byId = new Map<string, Slot>();

  get size(): number {
    return this.#byId.size;
  }

  get ids(): string[] {
    return [...this.#byId.keys()];
  }

  get(id: string): HeldTask | undefined {
    return this.#byId.get(id)?.held;
  }

  /** Keeps what is leased, forgets what is not. */
  update(record: TaskRecord, submission: NewTask, owner: string): void {
    const isHeld = isLeased(record.status) && record.owner === owner;
    const slot = this.#byId.get(record.id);
    if (!isHeld) this.#empty(record.id, slot);
    else if (slot) slot.held = { record, submission };
    else this.#byId.set(record.id, { held: { record, submission } });
  }

  /** Takes in a newer state of a task that is still held. */
  refresh(record: TaskRecord): void {
    const slot = this.#byId.get(record.id);
    if (slot?.held) slot.held = { ...slot.held, record };
  }

  forget(id: string): void {
    this.#empty(id, this.#byId.get(id));
  }

  /** Forgets leases that ran out before `time`: their holder neither settled nor heartbeat, and the sweeper has them. */
  forgetExpired(time: number): void {
    for (const [id, slot] of this.#byId) {
      if ((slot.held?.record.leaseExpiresAt ?? 0) < time) this.#empty(id, slot);
    }
  }

  #empty(id: string, slot: Slot | undefined): void {
    if (!slot) return;
    slot.held = undefined;
    this.#byId.delete(id);
  }
}
