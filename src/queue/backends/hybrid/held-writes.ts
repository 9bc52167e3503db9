import type { RedisArgument } from '../../../redis/ioredis.ts';
import { historyLine } from '../../history-text.ts';
import type { HeldChange } from '../../holding-store.ts';
import { limitsText } from '../../quota.ts';
import { isEnded, isLeased } from '../../task.ts';
import { recordOf } from '../../task-record.ts';
import { type Applied, NO_EFFECTS, type TaskRecord, type TaskState } from '../../task-store.ts';
import { restOf, STATUS_LETTERS } from '../redis/record-text.ts';

/** A change that `write-held.lua` may write: what it is about is known. */
export type FirstWrite = HeldChange & {
  readonly identity: TaskRecord;
  readonly event: NonNullable<HeldChange['event']>;
};

type LeaseText = (leaseExpiresAt: number) => string;

/** Whether this is the first that happens to a held task: it is claimed, or claimed and ended. */
export function isFirstWrite(change: HeldChange): change is FirstWrite {
  const { identity, version, event, next } = change;
  if (identity === undefined || version !== 1 || !event || next.fence !== 1) return false;
  if (next.runAt !== identity.runAt || hasMore(change)) return false;
  return change.claimed ? isEnded(next.status) && next.completedAt !== null : isPlainClaim(next);
}

function hasMore({ dependsOn, spent, closes, log }: HeldChange): boolean {
  return dependsOn !== undefined || spent !== undefined || closes !== undefined || log !== undefined;
}

function isPlainClaim({ status, leaseExpiresAt, alarmAt }: TaskState): boolean {
  return isLeased(status) && leaseExpiresAt !== null && alarmAt === null;
}

/** What the script is told: tasks that become the same share one text. */
export function firstWriteArguments(changes: readonly FirstWrite[], leaseText: LeaseText): RedisArgument[] {
  const values: RedisArgument[] = [];
  let sizeAt = 0;
  let size = 0;
  let first: FirstWrite | undefined;
  const close = () => {
    if (first) values[sizeAt] = first.identity.quota ? `${size};` : size;
  };
  for (const change of changes) {
    if (!first || !becomesSame(first, change)) {
      close();
      first = change;
      sizeAt = values.length;
      size = 0;
      values.push(0, ...stateArguments(change, leaseText));
    }
    const { quota } = change.identity;
    if (quota) values.push(limitsText(quota));
    values.push(change.id);
    size++;
  }
  close();
  return values;
}

function stateArguments({ next, claimed, event }: FirstWrite, leaseText: LeaseText): string[] {
  const letter = STATUS_LETTERS[next.status];
  const rest = `${restOf(next)}${claimed ? historyLine(claimed) : ''}${historyLine(event)}`;
  return claimed
    ? [letter, String(next.completedAt), `3 3 ${letter} = 0 0 0`, ` ${rest}`]
    : [letter, leaseText(next.leaseExpiresAt!), `2 2 ${letter} = 0 0 0`, ` ${rest}`];
}

function becomesSame(a: FirstWrite, b: FirstWrite): boolean {
  return (
    (a.identity.quota === undefined) === (b.identity.quota === undefined) &&
    isSameState(a.next, b.next) &&
    isSameEvent(a.event, b.event) &&
    isSameEvent(a.claimed, b.claimed)
  );
}

function isSameState(a: TaskState, b: TaskState): boolean {
  return (
    a.status === b.status &&
    a.completedAt === b.completedAt &&
    a.startedAt === b.startedAt &&
    a.leaseExpiresAt === b.leaseExpiresAt &&
    a.owner === b.owner &&
    a.result === b.result &&
    a.details === b.details &&
    a.retryCount === b.retryCount &&
    a.crashes === b.crashes
  );
}

function isSameEvent(a: HeldChange['event'], b: HeldChange['event']): boolean {
  if (!a || !b) return a === b;
  return (
    a.at === b.at && a.from === b.from && a.to === b.to && a.worker === b.worker && a.reason === b.reason
  );
}

/** The answer where nothing stood against it. `skewMs`: how far the store's time is ahead of that of the lease. */
export function firstApplied(
  { identity, next, claimed }: FirstWrite,
  skewMs: number,
  opened: boolean,
): Applied {
  const { leaseExpiresAt } = next;
  const state =
    leaseExpiresAt === null || skewMs === 0 ? next : { ...next, leaseExpiresAt: leaseExpiresAt + skewMs };
  const version = claimed ? 3 : 2;
  return { record: recordOf(identity, state, version, version, []), effects: NO_EFFECTS, opened };
}
