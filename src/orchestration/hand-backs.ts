/** A task no agent took is handed back for this long, ms; twice as long each time in a row. */
const DELAY_FIRST_MS = 1_000;
const DELAY_MAX_MS = 60_000;
/** Tasks whose hand-backs are counted; the oldest is forgotten first. */
const TASKS_MAX = 1_000;

/** How long a task stays away that nobody here took, e.g. since a strategy of the app's own threw. */
export class HandBacks {
  readonly #counts = new Map<string, number>();

  /** ms; grows with each call for the same task. */
  next(taskId: string): number {
    const count = this.#counts.get(taskId) ?? 0;
    this.#counts.delete(taskId);
    this.#counts.set(taskId, count + 1);
    if (this.#counts.size > TASKS_MAX) this.#forgetOldest();
    return Math.min(DELAY_MAX_MS, DELAY_FIRST_MS * 2 ** Math.min(count, 16));
  }

  taken(taskId: string): void {
    if (this.#counts.size > 0) this.#counts.delete(taskId);
  }

  #forgetOldest(): void {
    const oldest = this.#counts.keys().next();
    if (!oldest.done) this.#counts.delete(oldest.value);
  }
}
