import { InvalidOptionError, JottyError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { requireOptions } from '../options.ts';
import { checkEntry, type Registry, type RegistryEntry } from '../queue/registry.ts';
import { SCHEDULES } from '../queue/sections.ts';
import type { NewTask } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import {
  type CatchUp,
  checkRule,
  nextTick,
  type Overlap,
  type ScheduleRule,
  type StoredSchedule,
  taskOf,
} from './schedule.ts';

/** What is in the place of a removed schedule: no schedule, with a version that goes on rising. */
const REMOVED = 'null';
/** Longer than any look of a scheduler takes. */
const REMOVED_MS = 24 * 3_600_000;

const SCHEDULE_ID = /^[A-Za-z0-9_.-]{1,64}$/;
const OVERLAPS: readonly Overlap[] = ['skip', 'queue', 'replace'];
const CATCH_UPS: readonly CatchUp[] = ['one', 'all', 'none'];

/** What a tick enqueues, and when it ticks. */
export interface ScheduleOptions extends Omit<NewTask, 'id' | 'payload' | 'dependsOn' | 'runAt' | 'delayMs'> {
  readonly goal: string;
  /** Goes to the graph's channels of the same names. Plain JSON. */
  readonly input?: object | undefined;
  /** Five fields, or six with seconds first. This or `everyMs`. */
  readonly cron?: string | undefined;
  /**
   * IANA name of the zone whose clock the pattern is on. A time that its change skips ticks after it, one that comes twice
   * ticks once; hours and minutes with a `*` or a step go by the time that passes. @default UTC
   */
  readonly tz?: string | undefined;
  /** From 1,000. */
  readonly everyMs?: number | undefined;
  /** While the last tick's task has not ended: the tick is left out, its task waits for that one, or takes its place. @default 'skip' */
  readonly overlap?: Overlap | undefined;
  /** Ticks missed while no worker ran: the latest of them is made up for, each of the last day, or none. @default 'one' */
  readonly catchUp?: CatchUp | undefined;
}

export interface Schedule extends ScheduleRule {
  readonly id: string;
  readonly isPaused: boolean;
  /** When it ticks next, ms since the epoch; null while it is paused. */
  readonly nextRunAt: number | null;
  /** Of the latest tick that became a task, or run by hand. */
  readonly lastRunAt: number | null;
  /** The task of the latest tick. */
  readonly lastTaskId: string | null;
}

/**
 * Goals that come again and again. A schedule is stored with the queue, and every process that runs its tasks
 * keeps it: each tick becomes exactly one task, whichever of them is alive.
 */
export class Schedules {
  readonly #queue: () => TaskQueue;
  readonly #toTask: (goal: string, options: object) => NewTask;
  readonly #onChange: () => void;

  constructor(
    queue: () => TaskQueue,
    toTask: (goal: string, options: object) => NewTask,
    onChange: () => void,
  ) {
    this.#queue = queue;
    this.#toTask = toTask;
    this.#onChange = onChange;
  }

  /**
   * Makes a schedule, or changes the one of this id. The same again changes nothing; a new rule ticks from now on.
   *
   * @throws InvalidOptionError for a rule that never ticks; InvalidTaskError, TooLargeError.
   */
  async upsert(id: string, options: ScheduleOptions): Promise<Schedule> {
    if (typeof id !== 'string' || !SCHEDULE_ID.test(id))
      throw new InvalidOptionError('id', `a name like ${SCHEDULE_ID.source}`, id);
    const now = this.#queue().clock.now();
    const fresh = this.#fresh(id, requireOptions(options, 'an object with a goal'), now);
    const stored = await this.#change(id, (old) => {
      if (old === null) return fresh;
      const isSameRule = JSON.stringify(old.rule) === JSON.stringify(fresh.rule);
      const { rule, since, lastTick } = isSameRule ? old : { ...fresh, lastTick: null };
      return { ...old, ...pick(fresh), rule, since, lastTick };
    });
    return shown(id, stored, now);
  }

  /** Ticks are left out until `resume`. */
  async pause(id: string): Promise<Schedule> {
    return this.#update(id, (old) => ({ ...old, isPaused: true }));
  }

  /** Ticks again from now on: what the pause left out is not made up for. */
  async resume(id: string): Promise<Schedule> {
    const now = this.#queue().clock.now();
    return this.#update(id, (old) => (old.isPaused ? { ...old, isPaused: false, lastTick: now } : old));
  }

  /**
   * Enqueues its goal at once, beside its ticks: also while it is paused, and whatever its last task does. Resolves
   * with the id of the task, whose metadata name the schedule.
   */
  async runNow(id: string): Promise<string> {
    const { stored } = await this.#read(id);
    if (stored === null) throw notFound(id);
    const { task } = stored;
    const taskId = await this.#queue().enqueue({ ...task, metadata: { ...task.metadata, schedule: id } });
    const now = this.#queue().clock.now();
    // It may have been removed meanwhile.
    await this.#update(id, (old) => ({ ...old, lastRunAt: now })).catch((error: unknown) => {
      if (!(error instanceof JottyError) || error.code !== 'SCHEDULE_NOT_FOUND') throw error;
    });
    return taskId;
  }

  /** The tasks it has made are left as they are. */
  async remove(id: string): Promise<void> {
    const { stored } = await this.#read(id);
    if (stored === null) return;
    // Were the entry itself removed, a scheduler in the midst of a tick could take the next one of this id,
    // whose versions would begin anew, for the one it read.
    const now = this.#queue().clock.now();
    await this.#registry.put(SCHEDULES, { key: id, value: REMOVED, expiresAt: now + REMOVED_MS }, now);
  }

  async list(): Promise<Schedule[]> {
    const now = this.#queue().clock.now();
    const entries = await this.#registry.entries(SCHEDULES, now);
    return entries.flatMap((entry) => {
      const stored = decodeSchedule(entry);
      return stored === null ? [] : [shown(entry.key, stored, now)];
    });
  }

  get #registry(): Registry {
    return this.#queue().registry;
  }

  #fresh(id: string, options: ScheduleOptions, now: number): StoredSchedule {
    const { goal, cron, tz, everyMs, overlap = 'skip', catchUp = 'one', ...rest } = options;
    const rule = {
      ...(cron !== undefined && { cron }),
      ...(tz !== undefined && { tz }),
      ...(everyMs !== undefined && { everyMs }),
    };
    checkRule(rule, now);
    oneOf('overlap', OVERLAPS, overlap);
    oneOf('catchUp', CATCH_UPS, catchUp);
    for (const key of ['id', 'dependsOn', 'runAt', 'delayMs']) {
      if (key in rest) throw new InvalidOptionError(key, 'none: each tick is a task of its own', 'one');
    }
    const ticks = { lastTick: null, lastRunAt: null, lastTaskId: null, due: null };
    const task = this.#toTask(goal, rest);
    const fresh = { rule, task, overlap, catchUp, isPaused: false, since: now, ...ticks };
    this.#checkTick(id, fresh, now);
    // As JSON, so that what a tick submits later is what was checked now.
    return { ...fresh, task: JSON.parse(JSON.stringify(task)) as Omit<NewTask, 'id'> };
  }

  /** Whatever a tick would refuse is refused here: a task that is none, and an entry that leaves no room for a tick. */
  #checkTick(id: string, fresh: StoredSchedule, tick: number): void {
    const task = taskOf(id, fresh, tick);
    this.#queue().validate(task);
    const last = { lastTick: tick, lastRunAt: tick, lastTaskId: task.id };
    const due = { tick, task: { ...task, dependsOn: [{ id: task.id, on: 'completion' }] }, cancels: task.id };
    checkEntry(SCHEDULES, { key: id, value: JSON.stringify({ ...fresh, ...last, due }), expiresAt: null });
  }

  async #update(id: string, change: (old: StoredSchedule) => StoredSchedule): Promise<Schedule> {
    const stored = await this.#change(id, (old) => {
      if (old === null) throw notFound(id);
      return change(old);
    });
    return shown(id, stored, this.#queue().clock.now());
  }

  /** Against whoever else writes it, a scheduler among them: until nobody wrote in between. */
  async #change(id: string, change: (old: StoredSchedule | null) => StoredSchedule): Promise<StoredSchedule> {
    for (;;) {
      const { stored, version } = await this.#read(id);
      const next = change(stored);
      const now = this.#queue().clock.now();
      const entry = { key: id, value: JSON.stringify(next), expiresAt: null };
      if (!(await this.#registry.put(SCHEDULES, entry, now, version))) continue;
      this.#onChange();
      return next;
    }
  }

  async #read(id: string): Promise<{ readonly stored: StoredSchedule | null; readonly version: number }> {
    const entries = await this.#registry.entries(SCHEDULES, this.#queue().clock.now());
    const entry = entries.find(({ key }) => key === id);
    return entry === undefined
      ? { stored: null, version: 0 }
      : { stored: decodeSchedule(entry), version: entry.version };
  }
}

/** null for an entry that is damaged or was removed: it ticks no more, and an upsert makes it anew. */
export function decodeSchedule({ value }: RegistryEntry): StoredSchedule | null {
  try {
    const stored = JSON.parse(value) as StoredSchedule;
    return isSound(stored) ? stored : null;
  } catch {
    return null;
  }
}

/** Throws, too, where it is not. */
function isSound({ rule, task, since, lastTick, due }: StoredSchedule): boolean {
  const next = nextTick(rule, since, since);
  return (
    (next === null || next > since) &&
    Number.isFinite(lastTick ?? since) &&
    typeof (task as JsonObject).payload === 'object' &&
    (due === null || (Number.isFinite(due.tick) && typeof due.task.id === 'string'))
  );
}

/** What an upsert always replaces. */
function pick({ task, overlap, catchUp }: StoredSchedule) {
  return { task, overlap, catchUp };
}

function shown(id: string, stored: StoredSchedule, now: number): Schedule {
  const { rule, isPaused, lastRunAt, lastTaskId } = stored;
  const nextRunAt = isPaused ? null : nextTick(rule, Math.max(now, stored.lastTick ?? 0), stored.since);
  return { id, ...rule, isPaused, nextRunAt, lastRunAt, lastTaskId };
}

function oneOf(option: string, allowed: readonly string[], value: string): void {
  if (!allowed.includes(value)) throw new InvalidOptionError(option, allowed.join(', '), value);
}

function notFound(id: string): JottyError {
  return new JottyError('SCHEDULE_NOT_FOUND', `there is no schedule ${id}`);
}
