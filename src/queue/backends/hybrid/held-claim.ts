import type { TaskRecord } from '../../task-store.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * What a claim makes of a held task, which nobody else has: the state to write, and what is known of the task. Who
 * claims gets a copy.
 */
export function claimHeld(
  held: TaskRecord,
  status: 'assigned' | 'in_progress',
  owner: string,
  leaseExpiresAt: number,
  startedAt: number | null,
): void {
  const claimed: Writable<TaskRecord> = held;
  claimed.status = status;
  claimed.version += 1;
  claimed.events += 1;
  claimed.fence += 1;
  claimed.owner = owner;
  claimed.leaseExpiresAt = leaseExpiresAt;
  claimed.alarmAt = null;
  claimed.startedAt = startedAt;
}
