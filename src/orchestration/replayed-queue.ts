import type { MemoryTaskStore } from '../queue/backends/memory/memory-task-store.ts';
import { INTERVAL_MS_MAX } from '../queue/bounds.ts';
import { StoredTaskQueue } from '../queue/stored-task-queue.ts';
import type { Outcome, Task } from '../queue/task.ts';
import type {
  Assignment,
  DequeueOptions,
  QueueEvents,
  TaskFilter,
  TaskQueueOptions,
} from '../queue/task-queue.ts';
import type { ClaimPace } from './claim-pace.ts';
import type { RecordedDues } from './recorded-dues.ts';

/** Of such a policy `random` is what the back-off takes beyond 1 ms. */
const OWN_BACKOFF = { initialInterval: 2, backoffFactor: 1, maxInterval: 2, jitter: true };

export interface ReplayedTimes {
  readonly due: RecordedDues;
  /** When claims are made; absent where they are made whenever there is something to claim. */
  readonly pace?: ClaimPace | undefined;
}

/** A queue in which nobody dies, and times are told from outside. */
export class ReplayedQueue extends StoredTaskQueue {
  readonly #times: ReplayedTimes;
  readonly #next: { backoffMs: number };

  constructor(store: MemoryTaskStore, options: TaskQueueOptions, times: ReplayedTimes) {
    const next = { backoffMs: 1 };
    super(store, {
      ...options,
      leaseMs: INTERVAL_MS_MAX,
      sweepMs: INTERVAL_MS_MAX,
      retry: OWN_BACKOFF,
      random: () => next.backoffMs - 1,
    });
    this.#next = next;
    this.#times = times;
  }

  override on<E extends keyof QueueEvents>(event: E, listener: (value: QueueEvents[E]) => void): () => void {
    if (event === 'available') this.#times.pace?.start(listener as () => void);
    return super.on(event, listener);
  }

  override dequeueMany(limit: number, filter?: TaskFilter, options?: DequeueOptions): Promise<Task[]> {
    const { pace } = this.#times;
    const claim = (asked: number) => super.dequeueMany(asked, filter, options);
    return pace === undefined ? claim(limit) : pace.claim(limit, claim);
  }

  /** What follows is decided before this returns, as the record is in hand. */
  override settle(task: Task, outcome: Outcome, assignment?: Assignment): Promise<Task> {
    if (outcome.status === 'released' && outcome.runAt !== undefined)
      return super.settle(
        task,
        { ...outcome, runAt: this.#times.due.dueAt(task, outcome.runAt) },
        assignment,
      );
    this.#next.backoffMs = this.#times.due.backoffMs(task);
    return super.settle(task, outcome, assignment);
  }
}
