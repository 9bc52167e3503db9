import type { TaskEvent, TaskStatus } from '../../task.ts';
import { HISTORY_EVENTS_MAX } from '../../task-store.ts';
import type { MemoryEntry } from './memory-entry.ts';

/**
 * A transition as it is kept: a chain, newest first. Most tasks have two of them, for which arrays would be
 * larger than what they hold.
 */
export interface PastEvent {
  readonly from: TaskStatus | null;
  readonly to: TaskStatus;
  readonly at: number;
  readonly worker: string | undefined;
  readonly reason: string | undefined;
  before: PastEvent | null;
}

export function appendEvent(
  entry: MemoryEntry,
  { from, to, at, worker, reason }: Omit<TaskEvent, 'taskId' | 'seq'>,
): void {
  entry.record.events++;
  entry.latest = { from, to, at, worker, reason, before: entry.latest };
  // Now and then: at no time are twice as many kept.
  if (entry.record.events % HISTORY_EVENTS_MAX === 0) forgetOldest(entry.latest);
}

function forgetOldest(latest: PastEvent): void {
  let oldest: PastEvent | null = latest;
  for (let kept = 1; oldest && kept < HISTORY_EVENTS_MAX; kept++) oldest = oldest.before;
  if (oldest) oldest.before = null;
}

/** The events kept, oldest first. */
export function eventsOf({ record, latest }: MemoryEntry): TaskEvent[] {
  const events: TaskEvent[] = [];
  let seq = record.events;
  for (let event = latest; event && events.length < HISTORY_EVENTS_MAX; event = event.before) {
    events.push(toTaskEvent(event, record.id, seq--));
  }
  // Only a history that lost nothing goes back to the submission.
  if (seq === 1 && events.length < HISTORY_EVENTS_MAX)
    events.push({ taskId: record.id, seq, from: null, to: 'pending', at: record.createdAt });
  return events.reverse();
}

function toTaskEvent({ from, to, at, worker, reason }: PastEvent, taskId: string, seq: number): TaskEvent {
  return {
    taskId,
    seq,
    from,
    to,
    at,
    ...(worker !== undefined && { worker }),
    ...(reason !== undefined && { reason }),
  };
}
