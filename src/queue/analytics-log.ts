import type { Clock } from '../clock.ts';
import {
  ANALYTICS_MS_MAX,
  add,
  agentIn,
  MINUTE_MS,
  MinuteCounts,
  priorityIn,
  SEGMENT_MINUTES,
  type SegmentCounts,
  sectionOf,
  segmentOf,
} from './analytics.ts';
import { REGISTRY_VALUE_BYTES_MAX, type Registry } from './registry.ts';
import { count } from './sketch.ts';
import { isEnded, isLeased, type Task } from './task.ts';
import type { TaskRecord } from './task-store.ts';

/** What was seen is written so long after the first of it, ms: others read numbers no older than this. */
export const ANALYTICS_FLUSH_MS = 1_000;
/** Segments in memory: a run's time is told for the minutes of the last twenty to thirty; what was before counts with the first of them. */
const SEGMENTS_KEPT = 3;
const SEGMENT_MS = SEGMENT_MINUTES * MINUTE_MS;

interface Segment {
  readonly minutes: Map<number, MinuteCounts>;
  isWritten: boolean;
}

/** Several queue objects of a process, and of one that takes over its name, write entries of their own. */
let logs = 0;

/**
 * Counts what is done through one queue object, by minute, and leaves it in the registry, so that every process reads
 * the same. It costs a few additions a task, and a write a second while there are tasks. A process that is killed
 * takes what it saw in its last second with it.
 */
export class AnalyticsLog {
  readonly #registry: () => Registry;
  readonly #clock: Clock;
  readonly #owner: string;
  readonly #onError: (error: unknown) => void;
  readonly #segments = new Map<number, Segment>();
  #key: string | null = null;
  #timer: unknown = null;
  #writing: Promise<void> = Promise.resolve();
  #minuteNow = -1;
  #countsNow = new MinuteCounts();

  constructor(registry: () => Registry, clock: Clock, owner: string, onError: (error: unknown) => void) {
    this.#registry = registry;
    this.#clock = clock;
    this.#owner = owner;
    this.#onError = onError;
  }

  submitted(records: readonly { readonly priority: number }[], now: number): void {
    if (records.length === 0) return;
    const counts = this.#minute(now);
    counts.submitted += records.length;
    for (const { priority } of records) priorityIn(counts, priority)[0] += 1;
  }

  skipped(tasks: number): void {
    if (tasks === 0) return;
    this.#minute(this.#clock.now()).ended.skipped += tasks;
  }

  /** A change was written, which was made at `now`. */
  changed(before: TaskRecord, after: TaskRecord, task: Task, now: number): void {
    const { status } = after;
    if (status === before.status || isLeased(status)) return;
    if (isEnded(status)) {
      const counts = this.#minute(now);
      counts.ended[status] += 1;
      priorityIn(counts, after.priority)[1] += 1;
    }
    const isRun = status === 'completed' || status === 'failed' || status === 'retrying';
    if (isRun && before.status === 'in_progress' && before.startedAt !== null) {
      this.#ran(task.assignedAgent, before.runAt, before.startedAt, now, status !== 'completed');
    }
  }

  /** Resolves when all that was seen is in the registry. */
  async flush(): Promise<void> {
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#writing.then(() => this.#write());
    await this.#writing;
  }

  #ran(agent: string | undefined, runAt: number, startedAt: number, now: number, isFailed: boolean): void {
    const counts = this.#minute(now);
    counts.runs += 1;
    if (isFailed) counts.failedRuns += 1;
    count(counts.queueMs, Math.max(0, startedAt - runAt));
    count(counts.runMs, Math.max(0, now - startedAt));
    if (agent === undefined) return;
    const known = agentIn(counts, agent);
    known[0] += 1;
    if (isFailed) known[1] += 1;
    this.#busy(agent, startedAt, now);
  }

  /** Each minute has its part of a run. */
  #busy(agent: string, startedAt: number, now: number): void {
    const oldest = (segmentOf(Math.floor(now / MINUTE_MS)) - SEGMENTS_KEPT + 1) * SEGMENT_MS;
    let from = startedAt;
    while (from < now) {
      const at = Math.max(from, oldest);
      const to = Math.min(now, (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS);
      agentIn(this.#minute(at), agent)[2] += to - from;
      from = to;
    }
  }

  #minute(at: number): MinuteCounts {
    const minute = Math.floor(at / MINUTE_MS);
    const segment = this.#segment(segmentOf(minute));
    segment.isWritten = false;
    if (this.#timer === null) this.#flushSoon();
    if (minute === this.#minuteNow) return this.#countsNow;
    const counts = segment.minutes.get(minute) ?? new MinuteCounts();
    segment.minutes.set(minute, counts);
    this.#minuteNow = minute;
    this.#countsNow = counts;
    return counts;
  }

  #flushSoon(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = null;
      void this.flush();
    }, ANALYTICS_FLUSH_MS);
  }

  #segment(number: number): Segment {
    const known = this.#segments.get(number);
    if (known !== undefined) return known;
    const segment = { minutes: new Map<number, MinuteCounts>(), isWritten: false };
    this.#segments.set(number, segment);
    for (const [old, { isWritten }] of this.#segments) {
      if (old <= number - SEGMENTS_KEPT && isWritten) this.#segments.delete(old);
    }
    return segment;
  }

  async #write(): Promise<void> {
    const now = this.#clock.now();
    if (this.#key === null) logs += 1;
    this.#key ??= `${this.#owner}|${now.toString(36)}.${logs}`;
    for (const [number, segment] of this.#segments) {
      if (segment.isWritten) continue;
      segment.isWritten = true;
      const value = textOf(number, segment.minutes);
      const expiresAt = (number + 1) * SEGMENT_MS + ANALYTICS_MS_MAX + MINUTE_MS;
      try {
        await this.#registry().put(sectionOf(number), { key: this.#key, value, expiresAt }, now);
      } catch (error) {
        segment.isWritten = false;
        this.#onError(error);
      }
    }
  }
}

/** Where hundreds of agents make it too long, minutes are told together, from the first of them on. */
function textOf(segment: number, minutes: ReadonlyMap<number, MinuteCounts>): string {
  for (const step of [1, 2, 5, SEGMENT_MINUTES]) {
    const text = JSON.stringify({ segment, minutes: coarser(minutes, step) } satisfies SegmentCounts);
    if (Buffer.byteLength(text) <= REGISTRY_VALUE_BYTES_MAX) return text;
  }
  const all = coarser(minutes, SEGMENT_MINUTES);
  return JSON.stringify({
    segment,
    minutes: Object.fromEntries(
      Object.entries(all).map(([minute, counts]) => [minute, { ...counts, agents: {} }]),
    ),
  });
}

function coarser(minutes: ReadonlyMap<number, MinuteCounts>, step: number): Record<number, MinuteCounts> {
  const steps: Record<number, MinuteCounts> = {};
  for (const [minute, counts] of minutes) {
    if (step === 1) steps[minute] = counts;
    else {
      const first = minute - (minute % step);
      steps[first] ??= new MinuteCounts();
      add(steps[first], counts);
    }
  }
  return steps;
}
