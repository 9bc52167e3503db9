const WAIT_FIRST_MS = 2_000;
const WAIT_MS_MAX = 30_000;
/** Beyond, the oldest are forgotten: they are looked at once more. */
const TASKS_MAX = 10_000;

/** The tasks whose graph is not the one of this process, and how often each was found to be so. */
export class OtherVersions {
  readonly #times = new Map<string, number>();

  has(taskId: string): boolean {
    return this.#times.has(taskId);
  }

  /** Returns how long the task waits for a worker with its version, ms: longer each time. */
  found(taskId: string): number {
    const times = this.#times.get(taskId) ?? 0;
    this.#times.delete(taskId);
    this.#times.set(taskId, times + 1);
    const [oldest] = this.#times.keys();
    if (this.#times.size > TASKS_MAX && oldest !== undefined) this.#times.delete(oldest);
    return Math.min(WAIT_FIRST_MS * 2 ** Math.min(times, 16), WAIT_MS_MAX);
  }

  forget(taskId: string): void {
    this.#times.delete(taskId);
  }
}
