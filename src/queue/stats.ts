import { APPROVAL_TYPE } from './approval.ts';
import type { Kind } from './claim-filter.ts';
import type { QueueStats } from './task-queue.ts';
import type { StoreCounts } from './task-store.ts';
import { unservedKinds, type Worker } from './workers.ts';

/** The store's counters as its users read them. */
export function toStats(counts: StoreCounts, workers: readonly Worker[], now: number): QueueStats {
  const minute = Math.floor(now / 60_000);
  const endedSince = (minutes: number) =>
    counts.endedPerMinute
      .filter((entry) => entry.minute >= minute - minutes && entry.minute < minute)
      .reduce((sum, entry) => sum + entry.count, 0);
  const { pending, retrying } = counts.byStatus;
  return {
    counts: counts.byStatus,
    ready: pending + retrying - counts.delayed - counts.blocked,
    delayed: counts.delayed,
    blocked: counts.blocked,
    // An approval is asked by whoever meets it.
    unserved: unservedKinds(counts.readyKinds.filter(wantsAgent), workers).map(shownKind),
    oldestWaitingMs: counts.oldestReadyAt === null ? 0 : Math.max(0, now - counts.oldestReadyAt),
    throughput: { lastMinute: endedSince(1), lastHour: endedSince(60) },
    paused: counts.paused,
  };
}

function wantsAgent({ agentType }: Kind): boolean {
  return agentType !== APPROVAL_TYPE;
}

function shownKind({ agentType, agent }: Kind): QueueStats['unserved'][number] {
  return { ...(agentType !== null && { agentType }), ...(agent !== null && { agent }) };
}
