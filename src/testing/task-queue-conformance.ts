import type { TaskQueue, TaskQueueOptions } from '../queue/task-queue.ts';
import type { TaskStore } from '../queue/task-store.ts';
import { type ConformanceCase, registerCases, type TestRunner } from './conformance.ts';
import { FakeClock } from './fake-clock.ts';
import { seededRandom } from './seeded-random.ts';
import { approvalCases } from './task-queue-cases/approvals.ts';
import { boundsCases } from './task-queue-cases/bounds.ts';
import { childCases } from './task-queue-cases/children.ts';
import { clockCases } from './task-queue-cases/clocks.ts';
import { dependencyCases } from './task-queue-cases/dependencies.ts';
import { effectCases } from './task-queue-cases/effects.ts';
import { leaseCases } from './task-queue-cases/leases.ts';
import { lifeCases } from './task-queue-cases/life.ts';
import { limitKeyCases } from './task-queue-cases/limit-keys.ts';
import { limitCases } from './task-queue-cases/limits.ts';
import { listingCases } from './task-queue-cases/listing.ts';
import { operatorCases } from './task-queue-cases/operator.ts';
import { orderCases } from './task-queue-cases/order.ts';
import { resultCases } from './task-queue-cases/results.ts';
import { retryCases } from './task-queue-cases/retries.ts';
import { submissionCases } from './task-queue-cases/submissions.ts';

/** A fresh, empty storage for one case. */
export interface QueueStorage {
  /** A queue on this storage. Shared backends may be asked for several, durable ones after a close too. */
  queue(options: TaskQueueOptions): TaskQueue;
  /** A queue whose store answers through `wrap`, to damage what it reads. */
  wrapped(options: TaskQueueOptions, wrap: (store: TaskStore) => TaskStore): TaskQueue;
  /** Removes the storage; its queues are closed by then. */
  dispose(): Promise<void>;
}

export interface QueueBackend {
  readonly name: string;
  readonly durable: boolean;
  readonly shared: boolean;
  /** A clock that gives the storage the time it needs. @default new FakeClock() */
  clock?(): FakeClock;
  open(): Promise<QueueStorage>;
}

export interface QueueHarness {
  readonly clock: FakeClock;
  /** Opens a queue with the harness's clock and a seeded `random`; it is closed with the case. */
  open(options?: TaskQueueOptions): TaskQueue;
  wrapped(wrap: (store: TaskStore) => TaskStore, options?: TaskQueueOptions): TaskQueue;
  dispose(): Promise<void>;
}

/** The public contract of `TaskQueue`, for any runner. */
export const taskQueueCases: readonly ConformanceCase<QueueHarness>[] = [
  ...lifeCases,
  ...submissionCases,
  ...boundsCases,
  ...orderCases,
  ...retryCases,
  ...leaseCases,
  ...dependencyCases,
  ...resultCases,
  ...operatorCases,
  ...listingCases,
  ...limitCases,
  ...limitKeyCases,
  ...childCases,
  ...clockCases,
  ...approvalCases,
  ...effectCases,
];

/** Registers the suite with a runner, e.g. `describeTaskQueue({ describe, test }, backend)` in vitest. */
export function describeTaskQueue(runner: TestRunner, backend: QueueBackend): void {
  registerCases(
    runner,
    `${backend.name} keeps the contract of a TaskQueue`,
    taskQueueCases,
    backend,
    async () => harness(await backend.open(), backend.clock?.() ?? new FakeClock()),
  );
}

function harness(storage: QueueStorage, clock: FakeClock): QueueHarness {
  const opened: TaskQueue[] = [];
  const keep = (queue: TaskQueue) => {
    opened.push(queue);
    return queue;
  };
  const withDefaults = (options: TaskQueueOptions = {}) => ({ clock, random: seededRandom(7), ...options });
  return {
    clock,
    open: (options) => keep(storage.queue(withDefaults(options))),
    wrapped: (wrap, options) => keep(storage.wrapped(withDefaults(options), wrap)),
    async dispose() {
      for (const queue of opened) await queue.close();
      await storage.dispose();
      if (clock.timers > 0) throw new Error(`${clock.timers} timers are set after close()`);
    },
  };
}
