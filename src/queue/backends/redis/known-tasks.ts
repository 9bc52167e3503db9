import { isEnded } from '../../task.ts';
import type { TaskRecord } from '../../task-store.ts';

const KNOWN_MAX = 10_000;
/** Larger submissions are read again when they are needed. */
const SUBMISSION_CHARS_MAX = 64 * 1024;

/** Tasks read or claimed lately: a change of one need not read what never changes. The oldest are forgotten. */
export class KnownTasks {
  readonly #byId = new Map<string, TaskRecord>();

  get(id: string): TaskRecord | undefined {
    return this.#byId.get(id);
  }

  put(record: TaskRecord): void {
    if (record.submission.length > SUBMISSION_CHARS_MAX) {
      this.#byId.delete(record.id);
      return;
    }
    this.#byId.set(record.id, record);
    if (this.#byId.size <= KNOWN_MAX) return;
    const [oldest] = this.#byId.keys();
    if (oldest !== undefined) this.#byId.delete(oldest);
  }

  /** A task as it was changed here. */
  follow(record: TaskRecord): void {
    if (isEnded(record.status)) this.#byId.delete(record.id);
    else this.put(record);
  }
}
