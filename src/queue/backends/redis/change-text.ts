import type { RedisArgument } from '../../../redis/ioredis.ts';
import { historyLine } from '../../history-text.ts';
import type { HeldChange } from '../../holding-store.ts';
import { isEnded, isLeased } from '../../task.ts';
import type { TaskState } from '../../task-store.ts';
import { type Application, extrasOf } from './applications.ts';
import type { KnownTasks } from './known-tasks.ts';
import { pagesText } from './log-text.ts';
import { restOf, STATUS_LETTERS } from './record-text.ts';

type LeaseEnd = (leaseExpiresAt: number, now: number) => string;

/** What `apply.lua` is told: changes in a row that have the same in common share one text for it. */
export function changeArguments(
  items: readonly Application[],
  known: KnownTasks,
  leaseEnd: LeaseEnd,
): RedisArgument[] {
  const values: RedisArgument[] = [];
  let common = '';
  for (const { changes, now } of items) {
    for (const change of changes) {
      const own = commonOf(change, known, leaseOf(change.next, now, leaseEnd));
      if (own !== common) values.push(own);
      common = own;
      if (change.log !== undefined) values.push(`\v${pagesText(change.log)}`);
      const extras = extrasOf(change);
      if (extras !== '') values.push(extras);
      values.push(change.id, restOf(change.next));
    }
  }
  return values;
}

/** What changes of tasks that were claimed and end together have in common; see `apply.lua`. */
function commonOf(
  { id, version, next, event, claimed }: HeldChange,
  known: KnownTasks,
  lease: string,
): string {
  const before = known.get(id);
  const runAt = before?.version === version && before.runAt === next.runAt ? '=' : next.runAt;
  const head = `${version}${claimed ? '+' : ''} ${STATUS_LETTERS[next.status]} ${runAt} ${lease}`;
  return `\n${head}\n${claimed ? historyLine(claimed) : ''}${event ? historyLine(event) : ''}`;
}

function leaseOf({ status, leaseExpiresAt, alarmAt }: TaskState, now: number, leaseEnd: LeaseEnd): string {
  if (alarmAt !== null && !isLeased(status) && !isEnded(status)) return `!${alarmAt}`;
  if (leaseExpiresAt === null) return '-';
  return isLeased(status) ? leaseEnd(leaseExpiresAt, now) : String(leaseExpiresAt);
}
