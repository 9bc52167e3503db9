import { kindsOf, laneFromKey } from '../../claim-filter.ts';
import { type EndStatus, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import { type StoreCounts, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';

const MINUTE_MS = 60_000;
/** In the order `counts.lua` gives them. */
const COUNTED: readonly TaskStatus[] = TASK_STATUSES;
const END_STATUSES: readonly EndStatus[] = ['completed', 'failed', 'cancelled', 'skipped'];

export function toCounts(reply: readonly unknown[], now: number): StoreCounts {
  const [paused, blocked, delayed, oldest, lanes, ...rest] = reply;
  const byStatus = Object.fromEntries(COUNTED.map((status, i) => [status, Number(rest[i])]));
  return {
    byStatus: byStatus as Record<TaskStatus, number>,
    delayed: Number(delayed),
    blocked: Number(blocked),
    oldestReadyAt: oldest === '' ? null : Number(oldest),
    readyKinds:
      lanes === ''
        ? []
        : kindsOf(
            String(lanes)
              .split('\n')
              .map((key) => laneFromKey(key)),
          ),
    endedPerMinute: endedPerMinute(rest.slice(COUNTED.length), now),
    paused: paused === 1,
  };
}

/** Each text is `minute completed failed cancelled skipped`. */
function endedPerMinute(texts: readonly unknown[], now: number): StoreCounts['endedPerMinute'] {
  const since = Math.floor(now / MINUTE_MS) - THROUGHPUT_MINUTES_MAX;
  const entries: { minute: number; status: EndStatus; count: number }[] = [];
  for (const text of texts) {
    const [minute = 0, ...counts] = String(text).split(' ').map(Number);
    if (!(minute > since)) continue;
    END_STATUSES.forEach((status, i) => {
      const count = counts[i] ?? 0;
      if (count > 0) entries.push({ minute, status, count });
    });
  }
  return entries.sort((a, b) => a.minute - b.minute);
}
