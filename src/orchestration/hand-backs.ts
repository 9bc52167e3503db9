/** A task no agent took is handed back for this long, ms; twice as long each time in a row. */
const DELAY_FIRST_MS = 1_000;
const DELAY_MAX_MS = 60_000;
/** Whose own agent is busy, of which others may be free: that one may be free any moment. */
const BUSY_FIRST_MS = 250;
const BUSY_MAX_MS = 2_000;
/** Tasks whose hand-backs are counted; the oldest is forgotten first. */
const TASKS_MAX = 1_000;

/** How long a task stays away that nobody here took, e.g. since a strategy of the app's own threw. */
export class HandBacks {
  readonly #counts = new Map<string, number>();

  /** ms; grows with each call for the same task. */
  next(taskId: string, isBusy: boolean): number {
    const count = this.#counts.get(taskId) ?? 0;
    this.#counts.delete(taskId);
    this.#counts.set(taskId, count + 1);
    if (this.#counts.size > TASKS_MAX) this.#forgetOldest();
    const [first, max] = isBusy ? [BUSY_FIRST_MS, BUSY_MAX_MS] : [DELAY_FIRST_MS, DELAY_MAX_MS];
    return Math.min(max, first * 2 ** Math.min(count, 16));
  }

  taken(taskId: string): void {
    if (this.#counts.size > 0) this.#counts.delete(taskId);
  }

  #forgetOldest(): void {
    const oldest = this.#counts.keys().next();
    if (!oldest.done) this.#counts.delete(oldest.value);
  }
}
