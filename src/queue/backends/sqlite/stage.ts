import { isEnded, isLeased } from '../../task.ts';
import type { TaskState } from '../../task-store.ts';

/** What a task waits for. The numbers are part of the schema. */
export const STAGE = { ready: 1, delayed: 2, blocked: 3, leased: 4, waiting: 5, ended: 6 } as const;
export type Stage = (typeof STAGE)[keyof typeof STAGE];

/** Where a row lies in the agenda. */
export interface Place {
  readonly stage: Stage;
  readonly due: number;
}

/** Puts a state where it belongs. `blocked` counts its undecided edges. */
export function placeOf(state: TaskState, blocked: number, rank: number, now: number): Place {
  const { status } = state;
  if (isEnded(status)) return { stage: STAGE.ended, due: state.completedAt ?? now };
  // A lease without an end, which policy never writes, does not expire.
  if (isLeased(status)) return { stage: STAGE.leased, due: state.leaseExpiresAt ?? Number.MAX_SAFE_INTEGER };
  if (status === 'waiting') return { stage: STAGE.waiting, due: 0 };
  if (blocked > 0) return { stage: STAGE.blocked, due: 0 };
  return state.runAt > now ? { stage: STAGE.delayed, due: state.runAt } : { stage: STAGE.ready, due: rank };
}
