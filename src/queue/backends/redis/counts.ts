import { type EndStatus, isEnded, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import { type StoreCounts, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';
import { STATUS_LETTERS } from './record-text.ts';

const MINUTE_MS = 60_000;
/** In the order `counts.lua` gives them. */
const COUNTED: readonly TaskStatus[] = TASK_STATUSES;
const BY_LETTER = new Map<string, TaskStatus>(
  TASK_STATUSES.map((status) => [STATUS_LETTERS[status], status]),
);

export function toCounts(reply: readonly unknown[], now: number): StoreCounts {
  const [paused, blocked, delayed, oldest, ...rest] = reply;
  const byStatus = Object.fromEntries(COUNTED.map((status, i) => [status, Number(rest[i])]));
  return {
    byStatus: byStatus as Record<TaskStatus, number>,
    delayed: Number(delayed),
    blocked: Number(blocked),
    oldestReadyAt: oldest === '' ? null : Number(oldest),
    endedPerMinute: endedPerMinute(rest.slice(COUNTED.length), now),
    paused: paused === 1,
  };
}

function endedPerMinute(pairs: readonly unknown[], now: number): StoreCounts['endedPerMinute'] {
  const since = Math.floor(now / MINUTE_MS) - THROUGHPUT_MINUTES_MAX;
  const entries: { minute: number; status: EndStatus; count: number }[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const [minute, letter] = String(pairs[i]).split(' ');
    const status = BY_LETTER.get(letter ?? '');
    const count = Number(pairs[i + 1]);
    if (status === undefined || !isEnded(status) || !(Number(minute) > since) || !(count > 0)) continue;
    entries.push({ minute: Number(minute), status, count });
  }
  return entries.sort((a, b) => a.minute - b.minute || a.status.localeCompare(b.status));
}
