import { DeadlineExceededError, IdleTimeoutError, TimeoutError } from '../errors.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { HeldTask } from './held-task.ts';
import { IdleWatch } from './idle-watch.ts';

/** The clocks of one run: its time, the signs of life it owes, and the deadline of its task. Each ends it in its own way. */
export class RunLimits {
  readonly #held: HeldTask;
  readonly #queue: TaskQueue;
  #timers: unknown[] | undefined;
  #idle: IdleWatch | undefined;

  constructor(held: HeldTask, queue: TaskQueue) {
    this.#held = held;
    this.#queue = queue;
  }

  /** @throws DeadlineExceededError where there is no time left to begin. */
  start(): void {
    const { task, agent } = this.#held;
    const { clock } = this.#queue;
    const { deadline, idleTimeoutMs } = task;
    const timeoutMs = task.timeoutMs ?? agent.timeoutMs ?? this.#queue.timeoutMs ?? Infinity;
    if (timeoutMs !== Infinity)
      this.#abortAfter(timeoutMs, () => new TimeoutError(`the attempt took longer than ${timeoutMs} ms`));
    if (deadline !== undefined) {
      const leftMs = deadline - clock.now();
      if (leftMs <= 0) throw new DeadlineExceededError(deadline);
      this.#abortAfter(leftMs, () => new DeadlineExceededError(deadline));
    }
    if (idleTimeoutMs !== undefined) this.#watchIdle(idleTimeoutMs);
  }

  stop(): void {
    for (const timer of this.#timers ?? []) this.#queue.clock.clearTimeout(timer);
    this.#idle?.stop();
    this.#held.onAlive = undefined;
  }

  #abortAfter(ms: number, reason: () => Error): void {
    this.#timers ??= [];
    this.#timers.push(this.#queue.clock.setTimeout(() => this.#held.abort(reason()), ms));
  }

  #watchIdle(idleMs: number): void {
    const { clock } = this.#queue;
    const { id } = this.#held.task;
    this.#idle = new IdleWatch({
      clock,
      idleMs,
      progressAt: async () => (await this.#queue.getTask(id))?.progressAt,
      onIdle: () => this.#held.abort(new IdleTimeoutError(idleMs)),
    });
    this.#held.onAlive = this.#idle.touch;
  }
}
