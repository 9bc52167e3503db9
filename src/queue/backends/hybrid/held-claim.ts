import { recordOf } from '../../task-record.ts';
import type { TaskRecord } from '../../task-store.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** What a claim makes of a held task: the record its claimer gets, and the state that is written. */
export function claimedRecord(
  held: TaskRecord,
  status: 'assigned' | 'in_progress',
  owner: string,
  leaseExpiresAt: number,
  startedAt: number | null,
): TaskRecord {
  const claimed: Writable<TaskRecord> = recordOf(held, held, held.version + 1, held.events + 1, []);
  claimed.status = status;
  claimed.fence += 1;
  claimed.owner = owner;
  claimed.leaseExpiresAt = leaseExpiresAt;
  claimed.alarmAt = null;
  claimed.startedAt = startedAt;
  return claimed;
}
