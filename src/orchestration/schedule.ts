import { Cron } from 'croner';
import { InvalidOptionError } from '../errors.ts';
import { INTERVAL_MS_MAX } from '../queue/bounds.ts';
import type { NewTask } from '../queue/task.ts';

/** When a schedule ticks: by a pattern on the clock of a time zone, or every so often since it was made. */
export interface ScheduleRule {
  readonly cron?: string;
  /** IANA name. */
  readonly tz?: string;
  readonly everyMs?: number;
}

/** What happens to a tick while the task of the tick before has not ended. */
export type Overlap = 'skip' | 'queue' | 'replace';

/** What happens to ticks that came while no scheduler ran. */
export type CatchUp = 'one' | 'all' | 'none';

/** A tick that is being made into a task. Written before the task is, so that a crash in between repeats it. */
export interface DueTick {
  readonly tick: number;
  readonly task: NewTask & { readonly id: string };
  /** The task it replaces. */
  readonly cancels?: string;
}

/** A schedule as it is stored. */
export interface StoredSchedule {
  readonly rule: ScheduleRule;
  readonly task: Omit<NewTask, 'id'>;
  readonly overlap: Overlap;
  readonly catchUp: CatchUp;
  readonly isPaused: boolean;
  /** Ticks count from here; ms since the epoch. */
  readonly since: number;
  /** The latest tick that was dealt with, and the latest that became a task. */
  readonly lastTick: number | null;
  readonly lastRunAt: number | null;
  readonly lastTaskId: string | null;
  readonly due: DueTick | null;
}

/** The task a tick becomes. Its id is made of the tick, so that it is never made twice. */
export function taskOf(id: string, { task }: StoredSchedule, tick: number): DueTick['task'] {
  return { ...task, id: `schedule:${id}:${tick}`, metadata: { ...task.metadata, schedule: id, tick } };
}

/** Shorter intervals cannot be kept: workers look for new schedules less often. */
const EVERY_MS_MIN = 1_000;
/** With catchUp `all`, ticks that were missed for longer are let go: a day of them may be many. */
const CATCH_UP_MS = 24 * 3_600_000;
/** With catchUp `none`, a tick that is this late was missed, ms. */
const LATE_MS = 60_000;

/** @throws InvalidOptionError for a rule that never ticks, and for a time zone that does not exist. */
export function checkRule({ cron, tz, everyMs }: ScheduleRule, now: number): void {
  if ((cron === undefined) === (everyMs === undefined)) {
    throw new InvalidOptionError(
      'schedule',
      'either cron or everyMs',
      cron === undefined ? 'neither' : 'both',
    );
  }
  if (everyMs !== undefined) {
    if (typeof everyMs !== 'number' || !(everyMs >= EVERY_MS_MIN && everyMs <= INTERVAL_MS_MAX)) {
      throw new InvalidOptionError('everyMs', `ms from ${EVERY_MS_MIN} to ${INTERVAL_MS_MAX}`, everyMs);
    }
    if (tz !== undefined) throw new InvalidOptionError('tz', 'none with everyMs', tz);
    return;
  }
  // Neither is checked by what reads the pattern: a zone of NaN it would never come to an end with.
  for (const [field, text] of Object.entries({ cron, tz })) {
    if (text !== undefined && (typeof text !== 'string' || text === ''))
      throw new InvalidOptionError(field, field === 'cron' ? 'a pattern' : 'an IANA time zone', text);
  }
  let next: number | null;
  try {
    next = nextTick({ cron: cron!, ...(tz !== undefined && { tz }) }, now, now);
  } catch (error) {
    throw new InvalidOptionError(
      'cron',
      `a pattern and an IANA time zone (${(error as Error).message})`,
      cron,
    );
  }
  if (next === null) throw new InvalidOptionError('cron', 'a pattern that has a next time', cron);
}

/** Lists and ranges of hours and minutes are fixed times, as in Vixie's cron; what has a `*` or a step goes by time that passes. */
const CRON = { paused: true, fixedTimeRule: 'no-wildcard' } as const;

/** The first tick after `after`, null without one. Over a change of the clocks a fixed time ticks once. */
export function nextTick({ cron, tz, everyMs }: ScheduleRule, after: number, since: number): number | null {
  if (everyMs !== undefined) return since + (Math.floor((after - since) / everyMs) + 1) * everyMs;
  const pattern = new Cron(cron ?? '', { ...CRON, timezone: tz ?? 'UTC' });
  return pattern.nextRun(new Date(after))?.getTime() ?? null;
}

/** The tick to deal with now, null without one: which of several that were missed is up to `catchUp`. */
export function tickDue(schedule: StoredSchedule, now: number): number | null {
  const { rule, since, catchUp } = schedule;
  const last = schedule.lastTick ?? since;
  const next = nextTick(rule, catchUp === 'all' ? Math.max(last, now - CATCH_UP_MS) : last, since);
  if (next === null || next > now) return null;
  if (catchUp === 'all') return next;
  const latest = latestTick(rule, next, now, since);
  return catchUp === 'none' && now - latest > LATE_MS ? null : latest;
}

/** The last tick up to now, found by halving: between a pattern's ticks may lie a second or years. */
function latestTick(rule: ScheduleRule, first: number, now: number, since: number): number {
  let [latest, end] = [first, now];
  while (latest < end) {
    const middle = latest + Math.floor((end - latest) / 2);
    const next = nextTick(rule, middle, since);
    if (next !== null && next <= now) latest = next;
    else end = middle;
  }
  return latest;
}
