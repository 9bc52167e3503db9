import { setTimeout as sleep } from 'node:timers/promises';
import type { Task, TaskQueue } from '../dist/queue/index.js';
import { RESULT } from './work.ts';

/** Claims may run ahead of the handlers by this many tasks. */
const CLAIM_AHEAD_MAX = 100;

/** How soon an empty queue is asked again. */
const ASK_AGAIN_MS = 5;

/** Settlements in flight at most, so that a slow disk bounds the memory. */
const SETTLEMENTS_MAX = 1_000;

/**
 * Processes `tasks` waiting tasks through `dequeueMany` and `settle`, with `concurrency` no-op handlers at a
 * time. Claims run ahead, settlements are in flight together; resolves when the last of them is durable.
 */
export async function drain(queue: TaskQueue, concurrency: number, tasks: number): Promise<void> {
  await work(queue, concurrency, new ClaimsAhead(queue, tasks));
}

/** The same beside other processes, for ever: nobody knows who gets how many. */
export async function drainShared(queue: TaskQueue, concurrency: number, onDone: () => void): Promise<void> {
  await work(queue, concurrency, new ClaimsAhead(queue, Number.POSITIVE_INFINITY), onDone);
}

async function work(
  queue: TaskQueue,
  concurrency: number,
  ahead: ClaimsAhead,
  onDone = () => {},
): Promise<void> {
  const unsettled = new Set<Promise<unknown>>();
  const worker = async () => {
    for (let task = await ahead.next(); task !== undefined; task = await ahead.next()) {
      const result = await noOpHandler(task);
      const settlement = queue
        .settle(task, { status: 'completed', result })
        .then(onDone)
        .finally(() => unsettled.delete(settlement));
      unsettled.add(settlement);
      if (unsettled.size >= SETTLEMENTS_MAX) await settlement;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  await Promise.all(unsettled);
}

async function noOpHandler(_task: Task): Promise<typeof RESULT> {
  return RESULT;
}

/** Hands out claimed tasks one by one and claims the next ones before they run out. */
class ClaimsAhead {
  readonly #queue: TaskQueue;
  readonly #claimed: Task[] = [];
  #left: number;
  #claiming: Promise<void> | undefined;

  constructor(queue: TaskQueue, tasks: number) {
    this.#queue = queue;
    this.#left = tasks;
  }

  /** The next task; undefined when all have been handed out. */
  async next(): Promise<Task | undefined> {
    while (this.#claimed.length === 0 && (this.#left > 0 || this.#claiming)) await this.#claimMore();
    const task = this.#claimed.shift();
    if (this.#claimed.length <= CLAIM_AHEAD_MAX / 2 && this.#left > 0) void this.#claimMore();
    return task;
  }

  #claimMore(): Promise<void> {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = undefined;
    });
    return this.#claiming;
  }

  /** Another process may have taken the last ones; alone, nothing may be missing. */
  async #nothing(): Promise<void> {
    if (this.#left !== Number.POSITIVE_INFINITY)
      throw new Error(`expected ${this.#left} more tasks to claim, got none`);
    await sleep(ASK_AGAIN_MS);
  }

  async #claim(): Promise<void> {
    const limit = Math.min(CLAIM_AHEAD_MAX - this.#claimed.length, this.#left);
    const batch = await this.#queue.dequeueMany(limit);
    if (batch.length === 0) return this.#nothing();
    this.#left -= batch.length;
    this.#claimed.push(...batch);
  }
}
