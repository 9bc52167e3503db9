import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { laneKey } from '../../claim-filter.ts';
import { type Quota, weightsText } from '../../quota.ts';
import type { TaskStatus } from '../../task.ts';
import type { GateChange, InsertOutcome, NewRecord } from '../../task-store.ts';
import { Dependents, noEffects } from './dependents.ts';
import { decideEdges, insertEdges } from './edge-rows.ts';
import type { QueueTransaction } from './queue-transaction.ts';
import { STAGE } from './stage.ts';
import { SELECT_BY_ID, selectRow } from './task-row.ts';
import type { InsertMark } from './totals.ts';

/** A large batch may pause after so many rows: about 1 ms. */
const INSERT_STEP_ROWS = 100;
/** So many rows go into one statement: fewer calls into SQLite, a tenth of the cost of a batch. Divides the step. */
const ROWS_AT_ONCE = 10;

/** Statuses of the dependencies that are stored already. */
type Known = ReadonlyMap<string, TaskStatus>;

interface Skip {
  readonly seq: number;
  readonly reason: string;
}

const COLUMNS = ['seq', 'rank', 'created_at', 'run_at', 'lane', 'id', 'hash', 'submission'];
/** The statements by their number of rows. */
const INSERT_TASKS = insertStatements(COLUMNS);
const INSERT_WEIGHED = insertStatements([...COLUMNS, 'weights']);

function insertStatements(columns: readonly string[]): string[] {
  const row = `(${columns.map(() => '?').join(', ')})`;
  return Array.from(
    { length: ROWS_AT_ONCE + 1 },
    (_, rows) => `INSERT INTO tasks (${columns.join(', ')})
      VALUES ${Array(rows).fill(row).join(', ')} ON CONFLICT (id) DO NOTHING`,
  );
}

/** Stores all records or none. Yields every hundred rows. */
export function* insertRecords(
  tx: QueueTransaction,
  records: readonly NewRecord[],
  now: number,
  rules: readonly GateChange[],
): Generator<undefined, InsertOutcome, undefined> {
  const known = knownDependencies(tx, records);
  const unknown = unknownDependencies(records, known);
  if (unknown.length > 0) {
    const conflicts = findConflicts(tx, records);
    return { conflicts, unknown: conflicts.length > 0 ? [] : unknown, effects: noEffects() };
  }
  const skips: Skip[] = [];
  const dependents = new Dependents(tx, now);
  const before = tx.totals.mark();
  const limited: Limited[] = [];
  try {
    for (let i = 0; i < records.length; i += ROWS_AT_ONCE) {
      if (i > 0 && i % INSERT_STEP_ROWS === 0) {
        // Where those under limits belong is known at the end.
        if (limited.length === 0) tx.enterReady();
        yield;
      }
      const some = records.slice(i, i + ROWS_AT_ONCE);
      const firstSeq = tx.takeSeqs(some.length);
      if (!insertTasks(tx.connection, some, firstSeq)) {
        takeBack(tx, before);
        return { conflicts: findConflicts(tx, records), unknown: [], effects: noEffects() };
      }
      tx.totals.count('pending', some.length);
      some.forEach((record, n) => {
        const seq = firstSeq + n;
        const blocked = record.dependsOn.length === 0 ? 0 : link(tx, record, seq, known, skips, dependents);
        if (blocked > 0 || record.runAt > now || record.alarmAt !== null)
          insertState(tx, record, seq, blocked, now);
        if (record.quota === undefined) return;
        if (record.quota.fairKey !== null) tx.skipReady(seq);
        limited.push({ record, quota: record.quota, seq, isReady: blocked === 0 && record.runAt <= now });
      });
    }
  } catch (error) {
    takeBack(tx, before);
    throw error;
  }
  // Put off to here, so that nothing of it has to be taken back.
  for (const rule of rules) tx.gates.set(rule, now);
  tx.readGatesOf(limited);
  for (const [i, task] of limited.entries()) {
    if (i > 0 && i % INSERT_STEP_ROWS === 0) {
      tx.enterReady(task.seq - 1);
      yield;
    }
    enterPlace(tx, task, now);
  }
  for (const { seq, reason } of skips) dependents.skip(seq, reason);
  return { conflicts: [], unknown: [], effects: dependents.effects };
}

interface Limited {
  readonly record: NewRecord;
  readonly quota: Quota;
  readonly seq: number;
  readonly isReady: boolean;
}

/** Those in order of their sequence: the ones left out here enter `ready` together. */
function enterPlace(tx: QueueTransaction, { record, quota, seq, isReady }: Limited, now: number): void {
  tx.gates.addTask(quota, now);
  if (!isReady || tx.standsAmongAll(quota, now)) return;
  // Where it could not be held back a claim will park it.
  if (quota.fairKey === null && !tx.skipReady(seq)) return;
  const weights = weightsText(quota) || null;
  tx.quotaLanes.add(laneKey(record), { rank: record.rank, seq, weights });
}

/** Removes what was inserted since the mark. Rare, so that the usual insert needs no look at what exists. */
function takeBack(tx: QueueTransaction, before: InsertMark): void {
  tx.connection
    .prepare('DELETE FROM ready WHERE (rank, seq) IN (SELECT rank, seq FROM tasks WHERE seq > ?)')
    .run(before.seq);
  tx.connection.prepare('DELETE FROM tasks WHERE seq > ?').run(before.seq);
  tx.connection
    .prepare('DELETE FROM alarms WHERE (at, seq) IN (SELECT alarm_at, seq FROM states WHERE seq > ?)')
    .run(before.seq);
  tx.connection.prepare('DELETE FROM states WHERE seq > ?').run(before.seq);
  tx.connection.prepare('DELETE FROM edges WHERE task > ?').run(before.seq);
  tx.backTo(before);
}

/** False when an id exists; which of the others were written is not told then. */
function insertTasks(connection: SqliteConnection, records: readonly NewRecord[], firstSeq: number): boolean {
  const values: (string | number | null)[] = [];
  const isWeighed = records.some(({ quota }) => quota !== undefined && weightsText(quota) !== '');
  records.forEach((record, n) => {
    const { rank, createdAt, runAt, id, hash, submission } = record;
    values.push(firstSeq + n, rank, createdAt, runAt, laneKey(record), id, hash, submission);
    if (isWeighed) values.push((record.quota && weightsText(record.quota)) || null);
  });
  const statements = isWeighed ? INSERT_WEIGHED : INSERT_TASKS;
  return connection.prepare(statements[records.length]!).run(...values).changes === records.length;
}

/** The state of a task that is not ready at once, or has an alarm. */
function insertState(
  tx: QueueTransaction,
  { runAt, rank, alarmAt }: NewRecord,
  seq: number,
  blocked: number,
  now: number,
): void {
  const isReady = blocked === 0 && runAt <= now;
  if (!isReady) tx.skipReady(seq);
  if (blocked > 0) tx.insertState({ stage: STAGE.blocked, due: 0 }, seq, runAt, blocked, alarmAt);
  else if (isReady) tx.insertState({ stage: STAGE.ready, due: rank }, seq, runAt, 0, alarmAt);
  else tx.insertState({ stage: STAGE.delayed, due: runAt }, seq, runAt, 0, alarmAt);
  if (!isReady) tx.totals.count(blocked > 0 ? 'blocked' : 'delayed', 1);
}

/** Stores the edges that are undecided and returns how many they are. */
function link(
  tx: QueueTransaction,
  { dependsOn, join }: NewRecord,
  seq: number,
  known: Known,
  skips: Skip[],
  dependents: Dependents,
): number {
  const { open, skipReason } = decideEdges(dependsOn, join, (id) => known.get(id));
  if (skipReason !== null) skips.push({ seq, reason: skipReason });
  if (open.some((edge) => edge.isUnjudged)) dependents.effects.unjudged = true;
  insertEdges(tx, seq, open, join);
  return open.length;
}

function knownDependencies(tx: QueueTransaction, records: readonly NewRecord[]): Known {
  const known = new Map<string, TaskStatus>();
  for (const { dependsOn } of records) {
    for (const { dependencyId } of dependsOn) {
      if (known.has(dependencyId)) continue;
      const row = selectRow(tx.connection, SELECT_BY_ID, dependencyId);
      if (row) known.set(dependencyId, row.record.status);
    }
  }
  return known;
}

function unknownDependencies(
  records: readonly NewRecord[],
  known: Known,
): InsertOutcome['unknown'][number][] {
  if (records.every((record) => record.dependsOn.length === 0)) return [];
  const inBatch = new Set(records.map((record) => record.id));
  return records.flatMap(({ dependsOn }, index) =>
    dependsOn
      .filter(({ dependencyId }) => !known.has(dependencyId) && !inBatch.has(dependencyId))
      .map(({ dependencyId }) => ({ index, dependencyId })),
  );
}

function findConflicts(tx: QueueTransaction, records: readonly NewRecord[]): InsertOutcome['conflicts'] {
  return records.flatMap(({ id }) => selectRow(tx.connection, SELECT_BY_ID, id)?.record ?? []);
}
