import { InvalidOptionError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import type { Registry } from './registry.ts';
import { merge, Sketch, type Spread, spreadOf } from './sketch.ts';
import type { EndStatus, TaskStatus } from './task.ts';
import type { Worker } from './workers.ts';

export const MINUTE_MS = 60_000;
/** The longest window. */
export const ANALYTICS_MS_MAX = 24 * 3_600_000;
/** Minutes that stand in one entry of the registry. */
export const SEGMENT_MINUTES = 10;
/** Sections are used again after this many segments, a day and some: so there are never more. */
const SECTIONS = 150;

/**
 * What one process saw in one minute. A class, since what an object literal holds is typed anew with the second of
 * its kind, which would throw away the compiled code of every settlement.
 */
export class MinuteCounts {
  submitted = 0;
  /** Runs that ended as completed or failed, and those of them that failed. */
  runs = 0;
  failedRuns = 0;
  readonly ended: Record<EndStatus, number> = { completed: 0, failed: 0, cancelled: 0, skipped: 0 };
  /** By priority: submitted, and ended in any way but skipped. */
  readonly priorities: Record<number, [submitted: number, ended: number]> = {};
  readonly queueMs = new Sketch();
  readonly runMs = new Sketch();
  /** Names are anybody's, also those that every object has. */
  readonly agents: Record<string, [runs: number, failed: number, busyMs: number]> = Object.create(null);
}

/** What a process leaves in a section: its minutes of one segment, by number. */
export interface SegmentCounts {
  readonly segment: number;
  readonly minutes: Readonly<Record<number, MinuteCounts>>;
}

export interface AnalyticsOptions {
  /** How far back, ms; from a minute to 24 h. It reaches to the start of its first minute. @default 3_600_000 */
  readonly windowMs?: number | undefined;
}

export interface AgentAnalytics {
  readonly runs: number;
  readonly failed: number;
  readonly busyMs: number;
  /** Runs at a time, on average. */
  readonly running: number;
  /** Of the slots it has in the processes alive now; as `running` where it has no bound. */
  readonly utilisation: number;
}

/** What a queue did in a window of time, in all processes. */
export interface QueueAnalytics {
  /** The window, ms since the epoch; `from` is a full minute. */
  readonly from: number;
  readonly to: number;
  /** Tasks by status as they stand now. */
  readonly counts: Readonly<Record<TaskStatus, number>>;
  readonly submitted: number;
  readonly ended: Readonly<Record<EndStatus, number>>;
  readonly byPriority: Readonly<Record<number, { readonly submitted: number; readonly ended: number }>>;
  /** From when a task could run, as far as its `runAt` tells, to its start; of runs that ended in the window. */
  readonly queueTime: Spread;
  readonly runTime: Spread;
  /** Tasks that ended as completed or failed. */
  readonly throughputPerHour: number;
  /** Share of the runs that failed, retried ones included. */
  readonly errorRate: number;
  readonly agents: Readonly<Record<string, AgentAnalytics>>;
}

/** Its numbers, to add to. */
export function priorityIn({ priorities }: MinuteCounts, priority: number): [number, number] {
  priorities[priority] ??= [0, 0];
  return priorities[priority];
}

export function agentIn({ agents }: MinuteCounts, agent: string): [number, number, number] {
  agents[agent] ??= [0, 0, 0];
  return agents[agent];
}

export function segmentOf(minute: number): number {
  return Math.floor(minute / SEGMENT_MINUTES);
}

export function sectionOf(segment: number): string {
  return `analytics.${segment % SECTIONS}`;
}

export const ANALYTICS_SECTIONS: readonly string[] = Array.from({ length: SECTIONS }, (_, n) => sectionOf(n));

export function checkWindow(options: AnalyticsOptions): number {
  const { windowMs = 3_600_000 } = requireOptions(options, 'an object');
  if (typeof windowMs === 'number' && windowMs >= MINUTE_MS && windowMs <= ANALYTICS_MS_MAX) return windowMs;
  throw new InvalidOptionError('windowMs', `a number from ${MINUTE_MS} to ${ANALYTICS_MS_MAX}, ms`, windowMs);
}

/** All that every process has left of these minutes, together. */
export async function countsSince(registry: Registry, from: number, now: number): Promise<MinuteCounts> {
  const first = Math.floor(from / MINUTE_MS);
  const segments: number[] = [];
  for (let at = segmentOf(first); at <= segmentOf(Math.floor(now / MINUTE_MS)); at++) segments.push(at);
  const sections = await Promise.all(segments.map((segment) => registry.entries(sectionOf(segment), now)));
  const sum = new MinuteCounts();
  sections.forEach((entries, i) => {
    for (const { value } of entries) {
      const known = parsed(value);
      if (known === null || known.segment !== segments[i]) continue;
      for (const [minute, counts] of Object.entries(known.minutes)) if (+minute >= first) add(sum, counts);
    }
  });
  return sum;
}

export function add(sum: MinuteCounts, more: MinuteCounts): void {
  sum.submitted += more.submitted;
  sum.runs += more.runs;
  sum.failedRuns += more.failedRuns;
  merge(sum.queueMs, more.queueMs);
  merge(sum.runMs, more.runMs);
  for (const [status, n] of Object.entries(more.ended)) {
    sum.ended[status as EndStatus] += n;
  }
  for (const [priority, [submitted, ended]] of Object.entries(more.priorities)) {
    const known = priorityIn(sum, +priority);
    known[0] += submitted;
    known[1] += ended;
  }
  for (const [agent, [runs, failed, busyMs]] of Object.entries(more.agents)) {
    const known = agentIn(sum, agent);
    known[0] += runs;
    known[1] += failed;
    known[2] += busyMs;
  }
}

export function toAnalytics(
  sum: MinuteCounts,
  [from, to]: readonly [number, number],
  counts: QueueAnalytics['counts'],
  workers: readonly Worker[],
): QueueAnalytics {
  const spanMs = Math.max(1, to - from);
  const { completed, failed, cancelled, skipped } = sum.ended;
  return {
    from,
    to,
    counts,
    submitted: sum.submitted,
    ended: { completed, failed, cancelled, skipped },
    byPriority: Object.fromEntries(
      Object.entries(sum.priorities).map(([priority, [submitted, ended]]) => [
        priority,
        { submitted, ended },
      ]),
    ),
    queueTime: spreadOf(sum.queueMs),
    runTime: spreadOf(sum.runMs),
    throughputPerHour: ((completed + failed) * 3_600_000) / spanMs,
    errorRate: sum.runs === 0 ? 0 : sum.failedRuns / sum.runs,
    agents: Object.fromEntries(
      Object.entries(sum.agents).map(([agent, [runs, failures, busyMs]]) => {
        const running = busyMs / spanMs;
        return [
          agent,
          { runs, failed: failures, busyMs, running, utilisation: running / slotsOf(agent, workers) },
        ];
      }),
    ),
  };
}

/** 1 where nothing bounds it. */
function slotsOf(name: string, workers: readonly Worker[]): number {
  const agents = workers.flatMap(({ agents }) => agents.filter((agent) => agent.name === name));
  const slots = agents.reduce((sum, { maxConcurrent }) => sum + (maxConcurrent ?? Infinity), 0);
  return slots > 0 && slots < Infinity ? slots : 1;
}

/** What another process wrote is data: what cannot be read counts for nothing. */
function parsed(value: string): SegmentCounts | null {
  try {
    const known = JSON.parse(value) as Partial<SegmentCounts> | null;
    if (typeof known?.segment !== 'number' || typeof known.minutes !== 'object' || known.minutes === null)
      return null;
    return Object.values(known.minutes).every(isCounts) ? (known as SegmentCounts) : null;
  } catch {
    return null;
  }
}

function isCounts(counts: Partial<MinuteCounts> | null): boolean {
  if (typeof counts !== 'object' || counts === null) return false;
  const { submitted, runs, failedRuns, ended, priorities, queueMs, runMs, agents } = counts;
  return (
    [submitted, runs, failedRuns, queueMs?.count, runMs?.count].every(Number.isFinite) &&
    [ended, priorities, agents, queueMs?.sizes, runMs?.sizes].every(
      (part) => typeof part === 'object' && part !== null,
    )
  );
}
