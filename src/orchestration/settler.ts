import { wait } from '../clock.ts';
import { LeaseLostError } from '../errors.ts';
import type { Outcome, Task } from '../queue/task.ts';
import type { LogPage } from '../queue/task-log.ts';
import type { Assignment, TaskQueue } from '../queue/task-queue.ts';
import type { HeldTask } from './held-task.ts';
import type { LoopHealth } from './loop-health.ts';
import { Refusals } from './refusals.ts';

/** The store will never take this outcome; a failure that says so is recorded instead. */
const REFUSED_CODES: ReadonlySet<unknown> = new Set(['INVALID_TASK', 'TOO_LARGE']);
/** The task is settled or somebody else's: there is nothing left to record. */
const OVER_CODES: ReadonlySet<unknown> = new Set([
  'LEASE_LOST',
  'TASK_NOT_FOUND',
  'INVALID_TRANSITION',
  'CLOSED',
]);

/**
 * Records how attempts ended. A finished result is written as soon as the store takes it, and the work is
 * not done twice for that: the task stays held, with heartbeats, until it is recorded or lost.
 */
export class Settler {
  /** What is refused now, and not recorded yet. */
  readonly refusals = new Refusals();
  readonly #queue: TaskQueue;
  readonly #health: LoopHealth;
  readonly #onError: (error: unknown) => void;
  #isAbandoned = false;

  constructor(queue: TaskQueue, health: LoopHealth, onError: (error: unknown) => void) {
    this.#queue = queue;
    this.#health = health;
    this.#onError = onError;
  }

  /** No further tries: what is not recorded by now is left to the end of its lease. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  /** The task as recorded; null where it was no longer ours. */
  async settle(held: HeldTask, ended: Outcome): Promise<Task | null> {
    this.refusals.note(held.task, ended);
    try {
      const rest = held.log?.rest();
      // Only where a write of its events is under way: what comes after it must not overtake it.
      const log = rest instanceof Promise ? await rest : rest;
      const outcome = withFacts(ended, held.spent, log);
      for (;;) {
        try {
          const task = await this.#queue.settle(held.task, outcome, assignmentOf(held));
          this.#health.succeeded();
          return task;
        } catch (error) {
          const code: unknown = (error as { code?: unknown } | null)?.code;
          if (REFUSED_CODES.has(code)) return await this.#settleRefused(held, error, log);
          const waitMs = this.#isOver(error, code) ? undefined : this.#health.failed(error);
          if (waitMs === undefined) return null;
          this.#onError(error);
          await wait(this.#queue.clock, waitMs);
          if (this.#isAbandoned) return null;
        }
      }
    } finally {
      this.refusals.recorded(held.task);
    }
  }

  #settleRefused(held: HeldTask, error: unknown, log: readonly LogPage[] | undefined): Promise<Task | null> {
    const failed: Outcome = { status: 'failed', error, retry: false, log };
    return this.#queue.settle(held.task, failed, assignmentOf(held)).catch((second: unknown) => {
      this.#onError(second);
      return null;
    });
  }

  #isOver(error: unknown, code: unknown): boolean {
    return this.#isAbandoned || error instanceof LeaseLostError || OVER_CODES.has(code);
  }
}

/** Copied only where there is something to add. */
function withFacts(ended: Outcome, spent: Outcome['spent'], log: Outcome['log']): Outcome {
  if (spent === undefined && log === undefined) return ended;
  return { ...ended, ...(spent && { spent }), ...(log && { log }) };
}

/** A task that never began is nobody's yet. */
function assignmentOf({ startedAt, assignment, endedTurn }: HeldTask): Assignment | undefined {
  if (startedAt === 0) return undefined;
  const { agent, scores, turns } = assignment;
  return turns === undefined || endedTurn === undefined
    ? assignment
    : { agent, scores, turns: [...turns, endedTurn] };
}
