import { isEnded, type TaskStatus } from '../../task.ts';
import type { Change, Effects, NewRecord } from '../../task-store.ts';
import { Dependents } from './dependents.ts';
import { type DecidedEdges, decideEdges, forgetEdges, insertEdges } from './edge-rows.ts';
import { appendLog } from './log-rows.ts';
import type { QueueTransaction } from './queue-transaction.ts';
import { SELECT_BY_ID, SELECT_BY_SEQ, selectRow, type TaskRow } from './task-row.ts';

/** What a dependency that is not stored is taken for: nobody knows any more how it ended. */
const GONE = 'skipped';

export interface Written {
  readonly row: TaskRow;
  readonly effects: Effects;
}

/** Writes a change and what follows from it for other tasks; null when the row is not as it was read. */
export function writeChange(tx: QueueTransaction, row: TaskRow, change: Change, now: number): Written | null {
  const { next, event, dependsOn, join = 'all' } = change;
  const hasEnded = isEnded(next.status);
  const edges = dependsOn && !hasEnded ? decideEdges(dependsOn, join, (id) => statusOf(tx, id)) : undefined;
  const blocked = hasEnded ? 0 : (edges?.open.length ?? row.blocked);
  const written = tx.update(row, next, event, now, blocked);
  if (written === undefined) return null;
  if (change.log) appendLog(tx.connection, row.record.seq, row.record.events, change.log);
  if (change.spent || change.closes)
    tx.gates.settle(row.record.quota, change, row.record.startedAt ?? now, now);
  const dependents = new Dependents(tx, now);
  if (hasEnded && !isEnded(row.record.status)) dependents.hasEnded(written);
  const shown = edges ? giveEdges(tx, written, edges, join, dependents) : written;
  return { row: shown, effects: dependents.effects };
}

function statusOf({ connection }: QueueTransaction, id: string): TaskStatus {
  return selectRow(connection, SELECT_BY_ID, id)?.record.status ?? GONE;
}

/** The task waits for these edges from now on, and no others; it may be skipped at once. */
function giveEdges(
  tx: QueueTransaction,
  row: TaskRow,
  { open, skipReason }: DecidedEdges,
  join: NewRecord['join'],
  dependents: Dependents,
): TaskRow {
  const { seq } = row.record;
  forgetEdges(tx, seq);
  insertEdges(tx, seq, open, join);
  if (open.some((edge) => edge.isUnjudged)) dependents.effects.unjudged = true;
  if (skipReason !== null) dependents.skip(seq, skipReason);
  return selectRow(tx.connection, SELECT_BY_SEQ, seq) ?? row;
}

export function removeTask(tx: QueueTransaction, row: TaskRow): void {
  const { connection } = tx;
  const { seq } = row.record;
  connection
    .prepare('DELETE FROM states WHERE stage = ? AND due = ? AND seq = ?')
    .run(row.stage, row.due, seq);
  connection.prepare('DELETE FROM tasks WHERE seq = ?').run(seq);
  forgetEdges(tx, seq);
  tx.moveAlarm(seq, row.record.alarmAt, null);
  tx.totals.countRow(row, -1);
  if (row.record.quota) tx.gates.removeTask(row.record.quota);
}
