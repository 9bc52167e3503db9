import { LeaseLostError } from '../errors.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { HeldTask } from './held-task.ts';
import type { LoopHealth } from './loop-health.ts';
import type { Roster } from './roster.ts';

/**
 * Extends the leases of all held tasks with one timer. A task whose lease is lost is aborted; so is one whose
 * lease ran out by the local clock while the store could not be reached, since somebody else may have it.
 */
export class LeaseKeeper {
  readonly #queue: TaskQueue;
  readonly #health: LoopHealth;
  readonly #onError: (error: unknown) => void;
  readonly #held: Roster<HeldTask>;
  #timer: unknown;
  #isBeating = false;
  #isStopped = false;

  /** @param held is the holder's own list. */
  constructor(
    queue: TaskQueue,
    held: Roster<HeldTask>,
    health: LoopHealth,
    onError: (error: unknown) => void,
  ) {
    this.#queue = queue;
    this.#held = held;
    this.#health = health;
    this.#onError = onError;
  }

  /** Something is held. */
  watch(): void {
    this.#timer ??= this.#queue.clock.setTimeout(this.#tick, this.#queue.heartbeatMs);
  }

  stop(): void {
    this.#isStopped = true;
    this.#queue.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Armed before anything else, so that no error ends the heartbeats. It stops by itself with nothing held. */
  readonly #tick = (): void => {
    this.#timer = undefined;
    if (this.#isStopped || this.#held.isEmpty) return;
    this.#timer = this.#queue.clock.setTimeout(this.#tick, this.#queue.heartbeatMs);
    // A store that does not answer must not hide that leases run out meanwhile.
    if (this.#isBeating) this.#loseExpired();
    else void this.#beat();
  };

  async #beat(): Promise<void> {
    this.#isBeating = true;
    const held = this.#held.all();
    try {
      const tasks = await this.#queue.heartbeatMany(held.map(({ task }) => task));
      this.#health.succeeded();
      held.forEach((one, i) => {
        const task = tasks[i];
        if (this.#isStopped || !this.#held.has(one)) return;
        if (task) one.task = task;
        else
          one.abort(new LeaseLostError(one.task.id, one.fence, 'the heartbeat found it taken over or ended'));
      });
    } catch (error) {
      this.#health.failed(error);
      this.#onError(error);
      this.#loseExpired();
    } finally {
      this.#isBeating = false;
    }
  }

  #loseExpired(): void {
    if (this.#isStopped) return;
    const now = this.#queue.clock.now();
    for (const held of this.#held.all()) {
      if ((held.task.lease?.expiresAt ?? 0) > now) continue;
      held.abort(
        new LeaseLostError(held.task.id, held.fence, 'it ran out while the store could not be reached'),
      );
    }
  }
}
