import { stateOf } from '../../task-record.ts';
import type { TaskRecord, TaskState } from '../../task-store.ts';

/** What a claim makes of a held task's state. */
export function claimedState(
  held: TaskRecord,
  status: 'assigned' | 'in_progress',
  owner: string,
  leaseExpiresAt: number,
  startedAt: number | null,
): TaskState {
  const next = stateOf(held);
  next.status = status;
  next.fence += 1;
  next.owner = owner;
  next.leaseExpiresAt = leaseExpiresAt;
  next.alarmAt = null;
  next.startedAt = startedAt;
  return next;
}
