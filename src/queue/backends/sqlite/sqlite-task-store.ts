import { purgeCheckpoints } from '../../../checkpoint/purge.ts';
import type { Clock } from '../../../clock.ts';
import { ClosedError } from '../../../errors.ts';
import type { SqliteDatabase } from '../../../sqlite/sqlite-database.ts';
import type { Gate } from '../../gate.ts';
import { parseHistory } from '../../history-text.ts';
import { threadsOf } from '../../limits.ts';
import { isLeased, type TaskEvent } from '../../task.ts';
import type { TaskLog } from '../../task-log.ts';
import type {
  Applied,
  Change,
  Claim,
  Effects,
  GateChange,
  InsertOutcome,
  ListPage,
  ListQuery,
  Logging,
  NewRecord,
  Outlook,
  Purged,
  StoreCounts,
  TaskRecord,
  TaskStore,
  UnjudgedEdge,
  Verdict,
} from '../../task-store.ts';
import { removeTask, type Written, writeChange } from './changing.ts';
import { claimRows, type Taken } from './claiming.ts';
import { readCounts } from './counting.ts';
import { Dependents } from './dependents.ts';
import { readGates } from './gate-rows.ts';
import { insertRecords } from './insertion.ts';
import { listTasks } from './listing.ts';
import { addToLog, readLog, removeLogs } from './log-rows.ts';
import { readOutlook } from './outlook.ts';
import type { QueueTransaction } from './queue-transaction.ts';
import { RowCache } from './row-cache.ts';
import { SQLiteRegistry } from './sqlite-registry.ts';
import { columns, SELECT_BY_ID, SELECT_STATES, selectRow, selectRows, type TaskRow } from './task-row.ts';
import { TaskWriter } from './task-writer.ts';

export { TASK_COMPONENT } from './component.ts';

/** Larger batches are inserted in slices, so that they do not hold up the event loop. */
const INSERT_AT_ONCE_MAX = 1_000;

export const SELECT_EXPIRED = `${SELECT_STATES} WHERE s.stage = 4 AND s.due <= ? ORDER BY s.due, s.seq LIMIT +?`;
export const SELECT_ALARMED = `SELECT ${columns('s.due')} FROM alarms a CROSS JOIN states s ON s.seq = a.seq
  CROSS JOIN tasks t ON t.seq = s.seq WHERE a.at <= ? AND s.alarm_at = a.at ORDER BY a.at, a.seq LIMIT +?`;
/** A task somebody still has to judge by its result stays. */
export const SELECT_PURGEABLE = `${SELECT_STATES} WHERE s.stage = 6 AND s.due < ?
  AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.dependency_id = t.id) ORDER BY s.due, s.seq LIMIT +?`;

/**
 * Tasks in a SQLite file that several processes may share. An acknowledged write is on disk. The file is
 * opened by the first call and closed with the store.
 */
export class SQLiteTaskStore implements TaskStore {
  readonly registry = new SQLiteRegistry(() => this.#use());
  readonly #open: () => SqliteDatabase;
  readonly #clock: Pick<Clock, 'now'> | undefined;
  readonly #writer = new TaskWriter(() => this.#use());
  readonly #cache = new RowCache();
  #database: SqliteDatabase | undefined;
  #closed: Promise<void> | undefined;

  /**
   * @param open gives the database with `TASK_COMPONENT` installed; what it gives is closed by `close`.
   * @param clock tells how late it is once a claim has the write lock. Without it a claim bears the time when it was
   * asked for, which may be before the end of a task that it had to wait for.
   */
  constructor(open: () => SqliteDatabase, clock?: Pick<Clock, 'now'>) {
    this.#open = open;
    this.#clock = clock;
  }

  async insert(
    records: readonly NewRecord[],
    now: number,
    rules: readonly GateChange[] = [],
  ): Promise<InsertOutcome> {
    this.#use();
    if (records.length > INSERT_AT_ONCE_MAX) {
      return this.#writer.writeSliced((tx) => insertRecords(tx, records, now, rules));
    }
    return this.#writer.write(records.length, (tx) => {
      const steps = insertRecords(tx, records, now, rules);
      for (;;) {
        const step = steps.next();
        if (step.done === true) return step.value;
      }
    });
  }

  async claim(claim: Claim): Promise<TaskRecord[]> {
    this.#use();
    const taken: TaskRow[] = [];
    for (;;) {
      const rest = { ...claim, limit: claim.limit - taken.length };
      const { rows, isAll } = await this.#claimSome(rest, taken.length > 0);
      for (const row of rows) this.#cache.put(row);
      taken.push(...rows);
      if (isAll) return taken.map((row) => row.record);
    }
  }

  /** Claims of several processes are stamped in the order of their transactions. */
  #asOfNow(claim: Claim): Claim {
    const now = this.#clock?.now() ?? claim.now;
    const waitedMs = now - claim.now;
    if (waitedMs <= 0) return claim;
    return { ...claim, now, leaseExpiresAt: claim.leaseExpiresAt + waitedMs };
  }

  /** What has been taken before is leased: it must not be lost with the rest. */
  async #claimSome(claim: Claim, hasSome: boolean): Promise<Taken> {
    try {
      return await this.#writer.write(claim.limit, (tx) => claimRows(tx, this.#asOfNow(claim)));
    } catch (error) {
      if (hasSome) return { rows: [], isAll: true };
      throw error;
    }
  }

  async apply(changes: readonly Change[], now: number): Promise<(Applied | null)[]> {
    this.#use();
    const written = await this.#writer.write(changes.length, (tx) =>
      changes.map((change) => this.#applyOne(tx, change, now)),
    );
    return written.map((one) => {
      if (one === null) return null;
      if (isLeased(one.row.record.status)) this.#cache.put(one.row);
      else this.#cache.delete(one.row.record.id);
      return { record: one.row.record, effects: one.effects };
    });
  }

  async get(ids: readonly string[]): Promise<(TaskRecord | null)[]> {
    return this.#use().read((connection) =>
      ids.map((id) => selectRow(connection, SELECT_BY_ID, id)?.record ?? null),
    );
  }

  async list(query: ListQuery): Promise<ListPage> {
    return listTasks(this.#use(), query);
  }

  async history(id: string): Promise<TaskEvent[]> {
    const row = this.#use().read((connection) =>
      connection
        .prepare(
          `SELECT coalesce(s.history, ''), coalesce(s.events, 1), t.created_at
           FROM tasks t LEFT JOIN states s ON s.seq = t.seq WHERE t.id = ?`,
        )
        .raw()
        .get(id),
    ) as unknown[] | undefined;
    if (row === undefined) return [];
    const [history, events, createdAt] = row;
    return parseHistory(id, String(history), Number(events), Number(createdAt));
  }

  async appendLogs(loggings: readonly Logging[]): Promise<boolean[]> {
    this.#use();
    return this.#writer.write(loggings.length, ({ connection }) =>
      loggings.map((logging) => addToLog(connection, logging)),
    );
  }

  async log(id: string, after: number, limit: number): Promise<TaskLog> {
    return this.#use().readSnapshot((connection) => readLog(connection, id, after, limit));
  }

  async expired(now: number, limit: number): Promise<TaskRecord[]> {
    const rows = this.#use().read((connection) => selectRows(connection, SELECT_EXPIRED, now, limit));
    return rows.map((row) => row.record);
  }

  async outlook(now: number): Promise<Outlook> {
    return this.#use().read((connection) => readOutlook(connection, now));
  }

  async alarmed(now: number, limit: number): Promise<TaskRecord[]> {
    const rows = this.#use().read((connection) => selectRows(connection, SELECT_ALARMED, now, limit));
    return rows.map((row) => row.record);
  }

  async gates(keys: readonly string[] | null): Promise<(Gate | null)[]> {
    return this.#use().read((connection) => readGates(connection, keys));
  }

  async setGates(changes: readonly GateChange[], now: number): Promise<void> {
    this.#use();
    await this.#writer.write(changes.length, (tx) => {
      for (const change of changes) tx.gates.set(change, now);
    });
  }

  async unjudged(limit: number): Promise<UnjudgedEdge[]> {
    return this.#use().read((connection) =>
      connection
        .prepare(
          `SELECT t.id AS taskId, e.dependency_id AS dependencyId, coalesce(e.condition, '') AS condition
           FROM edges e INDEXED BY edges_unjudged CROSS JOIN tasks t ON t.seq = e.task
           WHERE e.unjudged = 1 ORDER BY e.task, e.position LIMIT +?`,
        )
        .all(limit),
    ) as UnjudgedEdge[];
  }

  async judge(verdicts: readonly Verdict[], now: number): Promise<Effects> {
    this.#use();
    return this.#writer.write(verdicts.length, (tx) => {
      const dependents = new Dependents(tx, now);
      for (const verdict of verdicts) dependents.judge(verdict);
      return dependents.effects;
    });
  }

  async counts(now: number): Promise<StoreCounts> {
    return this.#use().read((connection) => readCounts(connection, now));
  }

  async setPaused(paused: boolean): Promise<void> {
    this.#use();
    await this.#writer.write(1, (tx) => {
      tx.setPaused(paused);
    });
  }

  async isPaused(): Promise<boolean> {
    return this.#use().read((connection) =>
      Boolean(connection.prepareValue('SELECT paused FROM totals').get()),
    );
  }

  async purge(endedBefore: number, limit: number): Promise<Purged> {
    this.#use();
    return this.#writer.write(limit, (tx) => {
      const { connection } = tx;
      const rows = selectRows(connection, SELECT_PURGEABLE, endedBefore, limit);
      for (const row of rows) removeTask(tx, row);
      const tasks = rows.map((row) => row.record.id);
      removeLogs(
        connection,
        rows.map((row) => row.record.seq),
      );
      const threads = freeThreads(tx, tasks, endedBefore);
      purgeCheckpoints(connection, threads);
      return { tasks, threads };
    });
  }

  watch(listener: () => void): () => void {
    return this.#use().watch(listener);
  }

  /** Resolves after the writes in flight. */
  close(): Promise<void> {
    this.#closed ??= this.#database?.close() ?? Promise.resolve();
    return this.#closed;
  }

  #use(): SqliteDatabase {
    if (this.#closed !== undefined) throw new ClosedError('the task store');
    this.#database ??= this.#open();
    return this.#database;
  }

  #applyOne(tx: QueueTransaction, change: Change, now: number): Written | null {
    const cached = this.#cache.get(change.id, change.version);
    const written = cached && writeChange(tx, cached, change, now);
    if (written) return written;
    // Not cached, or no longer as cached: the row itself decides.
    const row = selectRow(tx.connection, SELECT_BY_ID, change.id);
    return row?.record.version === change.version ? writeChange(tx, row, change, now) : null;
  }
}

/** The threads that nobody needs without these tasks; gates that nobody names are forgotten with it. */
function freeThreads(tx: QueueTransaction, purged: readonly string[], endedBefore: number): string[] {
  const shared = tx.gates.sharedAmong(purged);
  const own = purged.filter((id) => !shared.has(id));
  const freed = threadsOf(tx.gates.forgetIdle(endedBefore));
  return [...own, ...freed.filter((id) => !selectRow(tx.connection, SELECT_BY_ID, id))];
}
