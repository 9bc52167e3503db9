import type { HeldChange } from '../../holding-store.ts';
import { isLeased } from '../../task.ts';
import type { LogPage } from '../../task-log.ts';
import { recordOf } from '../../task-record.ts';
import {
  type Applied,
  type Change,
  type Logging,
  NO_EFFECTS,
  type TaskRecord,
  type TaskState,
} from '../../task-store.ts';
import { BATCH_BYTES_MAX, BATCH_TASKS_MAX } from './batcher.ts';
import type { KnownTasks } from './known-tasks.ts';
import { blockersOf, edgeLines } from './record-text.ts';
import { toEffects } from './replies.ts';

/** One call of `apply`. */
export interface Application {
  readonly changes: readonly HeldChange[];
  readonly now: number;
}

/** New edges may skip the task that they were given. */
export function isSkipped({ id, dependsOn }: Change, answer: unknown): boolean {
  return dependsOn !== undefined && Array.isArray(answer) && toEffects(answer, 1).skipped.includes(id);
}

/** What only few changes have: see `apply.lua`. */
export function extrasOf({ dependsOn, join, spent, closes }: Change): string {
  if (!dependsOn && !spent && !closes) return '';
  const corrections = (spent ?? []).map(({ key, weight }) => `w ${key} ${weight}\n`);
  const closings = (closes ?? []).map(({ key, until }) => `k ${key} ${until}\n`);
  return `\t${edgeLines(dependsOn ?? [], join)}${corrections.join('')}${closings.join('')}`;
}

export function sizeOfApplication({ changes }: Application): number {
  return changes.reduce((sum, { next, log }) => sum + sizeOf(next) + (log ? sizeOfPages(log) : 0), 0);
}

export function sizeOfLoggings(loggings: readonly Logging[]): number {
  return loggings.reduce((sum, { pages }) => sum + 1 / BATCH_TASKS_MAX + sizeOfPages(pages), 0);
}

function sizeOfPages(pages: readonly LogPage[]): number {
  return pages.reduce((sum, { text }) => sum + text.length, 0) / BATCH_BYTES_MAX;
}

/** How much of a batch a change fills. */
function sizeOf({ result, details }: TaskState): number {
  const chars = (result?.length ?? 0) + (details?.length ?? 0);
  return 1 / BATCH_TASKS_MAX + chars / BATCH_BYTES_MAX;
}

/**
 * What a change was answered that was made. `aheadMs`: what was said of time was meant that much later, where Redis tells
 * the time.
 */
export function toApplied(
  { version, next, claimed }: HeldChange,
  identity: TaskRecord,
  answer: unknown,
  aheadMs: number,
  opened: boolean,
): Applied {
  const isMoved = isLeased(next.status) && next.leaseExpiresAt !== null;
  const state = isMoved ? { ...next, leaseExpiresAt: next.leaseExpiresAt + aheadMs } : next;
  const [events, effects, blockedBy] = Array.isArray(answer)
    ? [answer[0] as number, toEffects(answer, 1), blockersOf(String(answer[4]))]
    : [answer as number, NO_EFFECTS, []];
  return {
    record: recordOf(identity, state, version + (claimed ? 2 : 1), events, blockedBy),
    effects,
    opened,
  };
}

/** The tasks of which the answer is not all there is to know. */
export function unknownIds(
  items: readonly Application[],
  reply: readonly unknown[],
  known: KnownTasks,
): string[] {
  let i = 1;
  const ids: string[] = [];
  for (const { changes } of items) {
    for (const change of changes) {
      const answer = reply[i++];
      const isKnown = change.identity !== undefined || known.get(change.id) !== undefined;
      if (answer !== 0 && (!isKnown || isSkipped(change, answer))) ids.push(change.id);
    }
  }
  return ids;
}
