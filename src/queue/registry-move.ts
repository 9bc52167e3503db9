import { ANALYTICS_SECTIONS } from './analytics.ts';
import type { Registry, RegistryEntry } from './registry.ts';
import { EXPERIENCE, planSection, SCHEDULES } from './sections.ts';

/** From where to where, and what time it is. */
export interface RegistryMove {
  readonly source: Registry;
  readonly target: Registry;
  readonly now: () => number;
}

/** All that a move has to know of a schedule; the rest goes along unread. */
interface MovingSchedule {
  readonly isPaused?: unknown;
  /** Stopped by a move that has yet to bring it: whether it was paused before. */
  readonly stopped?: boolean;
}

/**
 * Copies the plans of these workflows; one that is there, or that a move which was cut off has begun to bring, is made
 * whole, another one is left alone. Returns those that have no plan here, which may be on its way: it is written after the tasks.
 */
export async function copyPlans(
  { source, target, now }: RegistryMove,
  ids: Iterable<string>,
): Promise<string[]> {
  const missing: string[] = [];
  for (const id of ids) {
    const section = planSection(id);
    const parts = await source.entries(section, now());
    if (parts.length === 0) missing.push(id);
    const there = await target.entries(section, now());
    const isOwn = there.every(({ key, value }) =>
      parts.some((part) => part.key === key && part.value === value),
    );
    if (isOwn) for (const part of parts) await target.put(section, unversioned(part), now(), 0);
  }
  return missing;
}

/**
 * Stops the schedules of the source, before its tasks are listed for the last time: the task of a tick is among these,
 * or the tick is made there. `isFirst`: those that are paused anyway are to be brought too.
 */
export async function stopSchedules({ source, now }: RegistryMove, isFirst: boolean): Promise<void> {
  for (const { key } of await source.entries(SCHEDULES, now())) {
    while (!(await stopSchedule(source, key, now(), isFirst)));
  }
}

/** False where somebody else, a scheduler perhaps, wrote it meanwhile. */
async function stopSchedule(source: Registry, key: string, now: number, isFirst: boolean): Promise<boolean> {
  const entry = (await source.entries(SCHEDULES, now)).find((one) => one.key === key);
  const schedule = entry && parsed(entry);
  if (!schedule) return true;
  const isPaused = schedule.isPaused === true;
  if (isPaused && (schedule.stopped !== undefined || !isFirst)) return true;
  const value = JSON.stringify({ ...schedule, isPaused: true, stopped: isPaused });
  return source.put(SCHEDULES, { ...unversioned(entry), value }, now, entry.version);
}

/** Makes the stopped schedules go on in the target, where the tasks of their ticks are by now. */
export async function bringSchedules({ source, target, now }: RegistryMove): Promise<void> {
  for (const entry of await source.entries(SCHEDULES, now())) {
    const schedule = parsed(entry);
    if (schedule?.stopped === undefined) continue;
    const { stopped, ...rest } = schedule;
    const as = (isPaused: boolean) => ({
      ...unversioned(entry),
      value: JSON.stringify({ ...rest, isPaused }),
    });
    // One of this id that is there already, or was removed there, is newer.
    await target.put(SCHEDULES, as(stopped), now(), 0);
    await source.put(SCHEDULES, as(true), now(), entry.version);
  }
}

/** Copies what was learned and counted. Each entry has one writer, whose latest word counts. */
export async function copyLearned({ source, target, now }: RegistryMove): Promise<void> {
  for (const section of [EXPERIENCE, ...ANALYTICS_SECTIONS]) {
    for (const entry of await source.entries(section, now()))
      await target.put(section, unversioned(entry), now());
  }
}

function unversioned({ key, value, expiresAt }: RegistryEntry): Omit<RegistryEntry, 'version'> {
  return { key, value, expiresAt };
}

/** null for one that is damaged or was removed. */
function parsed({ value }: RegistryEntry): MovingSchedule | null {
  try {
    const schedule: unknown = JSON.parse(value);
    return typeof schedule === 'object' ? schedule : null;
  } catch {
    return null;
  }
}
