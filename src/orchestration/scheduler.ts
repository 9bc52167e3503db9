import type { Clock } from '../clock.ts';
import { StoreUnavailableError, TaskNotFoundError, UnknownDependencyError } from '../errors.ts';
import { SCHEDULES } from '../queue/sections.ts';
import { isEnded } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { type DueTick, nextTick, type StoredSchedule, taskOf, tickDue } from './schedule.ts';
import { decodeSchedule } from './schedules.ts';

/** How often schedules made by other processes are looked for. */
const LOOK_MS = 30_000;

/** A claimed tick is made into a task within this time, or left to whoever looks next. */
const CLAIM_MS = 10_000;

/**
 * Turns the ticks of all schedules of a queue into tasks. Any number of processes run one, without a leader: a
 * tick is claimed by a compare-and-set on its schedule, and its task has an id made of the tick. Whoever finds
 * a tick that was claimed and never finished submits the same task again, which changes nothing where it exists.
 */
export class Scheduler {
  readonly #queue: TaskQueue;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  #timer: unknown = null;
  #working: Promise<void> | null = null;
  #isWanted = false;
  #isStopped = false;

  constructor(queue: TaskQueue, onError: (error: unknown) => void) {
    this.#queue = queue;
    this.#clock = queue.clock;
    this.#onError = onError;
  }

  /** Looks now, and when the next tick is due; calling it again looks again, after the look under way. */
  look(): void {
    this.#isWanted = true;
    if (this.#isStopped || this.#working !== null) return;
    this.#isWanted = false;
    this.#disarm();
    this.#working = this.#work()
      .catch((error: unknown) => {
        this.#onError(error);
        return LOOK_MS;
      })
      .then((waitMs) => {
        this.#working = null;
        if (this.#isStopped) return;
        this.#timer = this.#clock.setTimeout(() => this.look(), this.#isWanted ? 0 : waitMs);
      });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#disarm();
    await this.#working;
  }

  #disarm(): void {
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Returns how long to wait. */
  async #work(): Promise<number> {
    const entries = await this.#queue.registry.entries(SCHEDULES, this.#clock.now());
    let next = this.#clock.now() + LOOK_MS;
    for (const entry of entries) {
      const stored = decodeSchedule(entry);
      if (stored === null) continue;
      try {
        next = Math.min(next, await this.#advance(entry.key, stored, entry.version));
      } catch (error) {
        // One schedule that cannot go on must not stop the others.
        this.#onError(error);
      }
    }
    return Math.max(0, next - this.#clock.now());
  }

  /** Deals with what is due of one schedule, and returns when it is due next. */
  async #advance(id: string, stored: StoredSchedule, version: number): Promise<number> {
    let schedule = stored;
    let held = version;
    for (;;) {
      const now = this.#clock.now();
      if (schedule.due !== null) {
        const { tick, task } = schedule.due;
        const isTaken = await this.#submit(schedule.due);
        schedule = { ...schedule, due: null, lastTick: tick };
        if (isTaken) schedule = { ...schedule, lastRunAt: now, lastTaskId: task.id };
      } else {
        const tick = schedule.isPaused ? null : tickDue(schedule, now);
        if (tick === null) return this.#nextDue(schedule, now);
        schedule = await this.#claimed(id, schedule, tick);
      }
      if (!(await this.#put(id, schedule, held))) return now;
      held += 1;
      if (this.#clock.now() - now > CLAIM_MS) return now;
    }
  }

  #nextDue({ isPaused, rule, since, lastTick }: StoredSchedule, now: number): number {
    const next = isPaused ? null : nextTick(rule, Math.max(now, lastTick ?? since), since);
    return next ?? Number.POSITIVE_INFINITY;
  }

  #put(key: string, schedule: StoredSchedule, version: number): Promise<boolean> {
    const entry = { key, value: JSON.stringify(schedule), expiresAt: null };
    return this.#queue.registry.put(SCHEDULES, entry, this.#clock.now(), version);
  }

  /** The schedule with the tick that is to become a task, or without it where the last task is in its way. */
  async #claimed(id: string, schedule: StoredSchedule, tick: number): Promise<StoredSchedule> {
    const { lastTaskId, overlap } = schedule;
    const last = lastTaskId === null ? null : await this.#queue.getTask(lastTaskId);
    const isBusy = last !== null && !isEnded(last.status);
    if (isBusy && overlap === 'skip') return { ...schedule, lastTick: tick };
    const task = {
      ...taskOf(id, schedule, tick),
      ...(isBusy && overlap === 'queue' && { dependsOn: [{ id: last.id, on: 'completion' as const }] }),
    };
    const cancels = isBusy && overlap === 'replace' ? { cancels: last.id } : {};
    return { ...schedule, due: { tick, task, ...cancels } };
  }

  /** Whether it became a task. */
  async #submit({ task, cancels }: DueTick): Promise<boolean> {
    try {
      if (cancels !== undefined) await this.#cancel(cancels, task.id);
      await this.#enqueue(task);
      return true;
    } catch (error) {
      // What no later try mends is reported, and the schedule goes on with its next tick.
      if (error instanceof StoreUnavailableError) throw error;
      this.#onError(error);
      return false;
    }
  }

  /** The task it was to wait for may have ended, and been purged, since the tick was claimed. */
  async #enqueue({ dependsOn, ...task }: DueTick['task']): Promise<void> {
    if (dependsOn === undefined) return void (await this.#queue.enqueue(task));
    try {
      await this.#queue.enqueue({ ...task, dependsOn });
    } catch (error) {
      if (!(error instanceof UnknownDependencyError)) throw error;
      await this.#queue.enqueue(task);
    }
  }

  async #cancel(id: string, by: string): Promise<void> {
    try {
      await this.#queue.cancel(id, `replaced by ${by}`);
    } catch (error) {
      if (!(error instanceof TaskNotFoundError)) throw error;
    }
  }
}
