import type { Assignment } from '../queue/task-queue.ts';

/**
 * The newest assignments, in a ring: a map from which the oldest is deleted for each new one makes table after table,
 * and the collector takes what the old ones held for alive. Asked for by people, so a search will do.
 */
export class RecentAssignments {
  readonly #max: number;
  readonly #taskIds: string[] = [];
  readonly #assignments: Assignment[] = [];
  #next = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(taskId: string, assignment: Assignment): void {
    this.#taskIds[this.#next] = taskId;
    this.#assignments[this.#next] = assignment;
    this.#next = (this.#next + 1) % this.#max;
  }

  /** The task's last one. */
  of(taskId: string): Assignment | undefined {
    const newest = this.#taskIds.lastIndexOf(taskId, this.#next - 1);
    const found = this.#next > 0 && newest >= 0 ? newest : this.#taskIds.lastIndexOf(taskId);
    return this.#assignments[found];
  }
}
