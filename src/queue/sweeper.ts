import type { TaskRecord, TaskStore } from './task-store.ts';

/** How much one sweep takes on; what is left is for the next one. */
const EXPIRED_PER_SWEEP_MAX = 1_000;
const PURGED_PER_SWEEP_MAX = 1_000;

export interface Sweep {
  /** Leased tasks whose lease has run out; what follows is decided for each. */
  readonly expired: readonly TaskRecord[];
  /** Ids of ended tasks that were removed. */
  readonly purged: readonly string[];
}

/** Finds overdue leases and removes what was kept long enough. */
export async function sweep(store: TaskStore, now: number, retentionMs: number): Promise<Sweep> {
  const expired = await store.expired(now, EXPIRED_PER_SWEEP_MAX);
  const purged = Number.isFinite(retentionMs)
    ? await store.purge(now - retentionMs, PURGED_PER_SWEEP_MAX)
    : [];
  return { expired, purged };
}
