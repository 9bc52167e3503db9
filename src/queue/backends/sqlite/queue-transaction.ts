import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { laneKey } from '../../claim-filter.ts';
import { type EventFacts, historyLine } from '../../history-text.ts';
import { type Quota, weightsText } from '../../quota.ts';
import { isAhead } from '../../rank.ts';
import { isEnded } from '../../task.ts';
import { recordOf } from '../../task-record.ts';
import type { TaskRecord, TaskState } from '../../task-store.ts';
import type { GateCache } from './gate-cache.ts';
import type { QuotaChoice } from './quota-choice.ts';
import { hasQuota, kindPart, type Place as QuotaPlace } from './quota-lane.ts';
import { QuotaLanes } from './quota-lanes.ts';
import { type Place, placeOf, STAGE } from './stage.ts';
import { laneOf, type TaskRow } from './task-row.ts';
import { type InsertMark, Totals } from './totals.ts';
import { TransactionGates } from './transaction-gates.ts';
import { TransactionTurns } from './transaction-turns.ts';

/**
 * 500 is HISTORY_EVENTS_MAX: from there on each new line takes the place of the oldest. An empty line stands for
 * no event and leaves the history as it is.
 */
const UPDATE_STATE = `UPDATE states SET stage = ?, due = ?, status = ?, version = ?, run_at = ?, retry_count = ?,
  crashes = ?, fence = ?, owner = ?, lease_expires_at = ?, started_at = ?, completed_at = ?, result = ?, details = ?,
  alarm_at = ?, blocked = ?, events = ?, history = CASE WHEN events <= 500 OR ? = '' THEN history
    ELSE substr(history, instr(history, char(10)) + 1) END || ?
  WHERE stage = ? AND due = ? AND seq = ? AND version = ?`;
const INSERT_STATE =
  'INSERT INTO states (stage, due, seq, run_at, blocked, alarm_at) VALUES (?, ?, ?, ?, ?, ?)';
/**
 * One statement for many rows. Without OR IGNORE it would keep a copy of each page it changes, to take itself back
 * at a conflict, which there is none.
 */
const LEASE_FRESH = `INSERT OR IGNORE INTO states (stage, due, seq, run_at, status, version, events, fence, owner,
    lease_expires_at, started_at, history)
  SELECT ${STAGE.leased}, ?, seq, coalesce(run_at, 0), ?, 2, 2, 1, ?, ?, ?, ? FROM tasks
  WHERE seq IN (SELECT value FROM json_each(?))`;
const ENTER_READY =
  'INSERT OR IGNORE INTO ready (rank, seq) SELECT rank, seq FROM tasks WHERE seq > ? AND seq <= ?';
/** So many sequences are looked at in one step: at most about 10 ms. */
const LANE_SLICE_SEQS = 5_000;
/** Lanes stand there without their quota, which no filter looks at: it follows the third bar. */
const FILL_LANES = `INSERT OR IGNORE INTO ready_lanes (lane, due, seq)
  SELECT CASE bar WHEN 0 THEN lane ELSE substr(lane, 1, agent + bar - 1) END, rank, seq FROM (
    SELECT *, instr(substr(lane, agent + 1), '|') AS bar FROM (
      SELECT *, type + instr(substr(lane, type + 1), '|') AS agent FROM (
        SELECT t.lane, t.rank, t.seq, instr(t.lane, '|') AS type
        FROM tasks t CROSS JOIN ready r ON r.rank = t.rank AND r.seq = t.seq
        WHERE t.seq > ? AND t.seq <= ?)))`;

/** What a claim gives. */
export interface Lease {
  readonly status: 'assigned' | 'in_progress';
  readonly owner: string;
  readonly leaseExpiresAt: number;
  readonly startedAt: number | null;
}

/** One transaction on the queue's tables. What can be done once for all its tasks is put off to its end. */
export class QueueTransaction {
  readonly connection: SqliteConnection;
  readonly totals: Totals;
  /** What the claims so far chose from, by their filter. */
  readonly choices = new Map<string, QuotaChoice>();
  #isPaused: boolean;
  /** Tasks above this sequence are not in `ready` yet: they enter together, which is quicker than one by one. */
  #entered: number;
  #hasEdges: boolean | undefined;
  readonly #gateCache: GateCache;
  #gates: TransactionGates | undefined;
  #lanes: QuotaLanes | undefined;

  constructor(connection: SqliteConnection, gateCache: GateCache) {
    this.connection = connection;
    this.#gateCache = gateCache;
    this.totals = new Totals(connection);
    this.#isPaused = this.totals.isPaused;
    this.#entered = this.totals.seq;
  }

  get gates(): TransactionGates {
    this.#gates ??= new TransactionGates(this.connection, this.#gateCache, (key) => this.#gateOpened(key));
    return this.#gates;
  }

  /** The ready tasks that have a quota. */
  get quotaLanes(): QuotaLanes {
    this.#lanes ??= new QuotaLanes(
      this.connection,
      new TransactionTurns(this.connection, this.totals.turnAt),
      (lane) => {
        for (const choice of this.choices.values()) choice.laneChanged(lane);
      },
    );
    return this.#lanes;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Also later claims of this transaction see it. */
  setPaused(paused: boolean): void {
    this.connection.prepare('UPDATE totals SET paused = ? WHERE id = 1').run(paused ? 1 : 0);
    this.#isPaused = paused;
  }

  /** The first of the next sequences; they are never given again, also when their tasks are purged. */
  takeSeqs(count: number): number {
    const first = this.totals.seq + 1;
    this.totals.seq += count;
    return first;
  }

  /** Whether any edge is stored; without one no ending can concern another task. */
  get hasEdges(): boolean {
    this.#hasEdges ??= this.connection.prepareValue('SELECT EXISTS (SELECT 1 FROM edges)').get() === 1;
    return this.#hasEdges;
  }

  edgesWereAdded(): void {
    this.#hasEdges = true;
  }

  /** Puts more of the ready tasks into `ready_lanes`; false while there are still some left. */
  catchUpLanes(): boolean {
    const { seq, laned } = this.totals;
    if (laned >= seq) return true;
    const upTo = Math.min(seq, laned + LANE_SLICE_SEQS);
    this.connection.prepare(FILL_LANES).run(laned, upTo);
    this.totals.laned = upTo;
    return upTo === seq;
  }

  /** Puts the tasks inserted so far where claims find them. */
  enterReady(upTo: number = this.totals.seq): void {
    if (this.#entered >= upTo) return;
    this.connection.prepare(ENTER_READY).run(this.#entered, upTo);
    this.#entered = upTo;
  }

  /** A task just inserted is to have no place in `ready`; false where it has one already. */
  skipReady(seq: number): boolean {
    if (seq <= this.#entered) return false;
    this.enterReady(seq - 1);
    this.#entered = seq;
    return true;
  }

  /** Stores the state of the task just inserted, which is more than `tasks` tells. */
  insertState(
    { stage, due }: Place,
    seq: number,
    runAt: number,
    blocked: number,
    alarmAt: number | null,
  ): void {
    this.connection.prepare(INSERT_STATE).run(stage, due, seq, runAt, blocked, alarmAt);
    if (alarmAt !== null) this.moveAlarm(seq, null, alarmAt);
  }

  /** A task has become ready again, or for the first time some while after its insert. */
  becomeReady(lane: string, place: QuotaPlace, now: number): void {
    const quota = hasQuota(lane) ? laneOf(lane).quota : undefined;
    if (quota && !this.standsAmongAll(quota, now)) {
      this.quotaLanes.add(lane, place);
      return;
    }
    const { connection } = this;
    const { rank, seq } = place;
    connection.prepare('INSERT OR IGNORE INTO ready (rank, seq) VALUES (?, ?)').run(rank, seq);
    if (seq > this.totals.laned) return;
    connection
      .prepare('INSERT OR IGNORE INTO ready_lanes (lane, due, seq) VALUES (?, ?, ?)')
      .run(kindPart(lane), rank, seq);
  }

  /**
   * Whether a task that becomes ready gets its place in `ready`, else in its lane. For tasks without a fair key
   * either is right: what a claim meets in `ready` and cannot take goes to its lane then.
   */
  standsAmongAll(quota: Quota, now: number): boolean {
    return quota.fairKey === null && this.gates.expects(quota, now);
  }

  /** Reads at once what the tasks need of gates, rather than one by one. */
  readGatesOf(rows: readonly { readonly record: { readonly quota?: Quota | undefined } }[]): void {
    const keys: string[] = [];
    for (const { record } of rows) for (const { key } of record.quota?.limits ?? []) keys.push(key);
    if (keys.length > 0) this.gates.readAhead(keys);
  }

  /** A ready task that a claim has come to passes its gates, or has its place in its lane from now on. */
  passOrPark({ due, record }: TaskRow, now: number): boolean {
    const { quota } = record;
    if (quota === undefined) return true;
    if (this.gates.obstacleOf(quota.limits, now) === null && !this.#isBehindHeavier(record, due)) {
      this.gates.enter(quota, now);
      return true;
    }
    this.quotaLanes.add(laneKey(record), quotaPlace({ due, record }));
    return false;
  }

  /** Whether a task stands before it in its lane, which a rate keeps back because it weighs more. */
  #isBehindHeavier(record: TaskRecord, rank: number): boolean {
    const { quota, seq } = record;
    if (quota === undefined || this.quotaLanes.isEmpty || !this.gates.weighs(quota.limits)) return false;
    const head = this.quotaLanes.headOf(laneKey(record));
    return head !== undefined && isAhead(head, { rank, seq });
  }

  /** A task is no longer ready, wherever it goes from here. */
  leaveReady(row: TaskRow): void {
    const { record, due } = row;
    const { seq, quota } = record;
    this.enterReady();
    const { changes } = this.connection.prepare('DELETE FROM ready WHERE rank = ? AND seq = ?').run(due, seq);
    if (quota && changes === 0) this.quotaLanes.remove(laneKey(record), { rank: due, seq });
    else this.#leaveLane(row);
  }

  /** The same for the first rows of `ready`, in their order: one statement for all of them. */
  firstLeaveReady(rows: readonly TaskRow[]): void {
    const last = rows.at(-1);
    if (last === undefined) return;
    this.connection.prepare('DELETE FROM ready WHERE (rank, seq) <= (?, ?)').run(last.due, last.record.seq);
    for (const row of rows) this.#leaveLane(row);
  }

  #leaveLane({ record, due }: TaskRow): void {
    if (record.seq > this.totals.laned) return;
    this.connection
      .prepare('DELETE FROM ready_lanes WHERE lane = ? AND due = ? AND seq = ?')
      .run(kindPart(laneKey(record)), due, record.seq);
  }

  /** null: there was none, or is none. */
  moveAlarm(seq: number, before: number | null, after: number | null): void {
    if (before !== null)
      this.connection.prepare('DELETE FROM alarms WHERE at = ? AND seq = ?').run(before, seq);
    if (after !== null)
      this.connection.prepare('INSERT OR IGNORE INTO alarms (at, seq) VALUES (?, ?)').run(after, seq);
  }

  /** Forgets the tasks inserted since the mark, which the caller removes. */
  backTo(mark: InsertMark): void {
    this.totals.backTo(mark);
    this.#entered = Math.min(this.#entered, mark.seq);
  }

  /** Leases fresh rows that have left `ready`. They have no version to compare: this transaction has read them. */
  leaseFresh(
    rows: readonly TaskRow[],
    { status, owner, leaseExpiresAt, startedAt }: Lease,
    now: number,
  ): TaskRow[] {
    if (rows.length === 0) return [];
    const seqs = JSON.stringify(rows.map((row) => row.record.seq));
    const line = historyLine({ from: 'pending', to: status, at: now, worker: owner });
    this.connection
      .prepare(LEASE_FRESH)
      .run(leaseExpiresAt, status, owner, leaseExpiresAt, startedAt, line, seqs);
    this.totals.count('pending', -rows.length);
    this.totals.count(status, rows.length);
    const lease = { status, owner, leaseExpiresAt, startedAt, fence: 1 };
    return rows.map((row) => ({
      record: recordOf(row.record, { ...row.record, ...lease }, 2, 2, []),
      stage: STAGE.leased,
      due: leaseExpiresAt,
      blocked: 0,
      isFresh: false,
    }));
  }

  /**
   * Writes a row's next state if the row is still as it was read, and returns it as it stands then; undefined
   * when it has changed meanwhile. Ended rows have no undecided edges: the caller removes them.
   */
  update(
    row: TaskRow,
    next: TaskState,
    event: EventFacts | undefined,
    now: number,
    blocked: number = row.blocked,
    versions = 1,
  ): TaskRow | undefined {
    const { record } = row;
    const version = record.version + versions;
    const events = event ? record.events + 1 : record.events;
    const { stage, due } = placeOf(next, blocked, record.rank, now);
    const line = event ? historyLine(event) : '';
    if (row.isFresh)
      this.connection.prepare(INSERT_STATE).run(row.stage, row.due, record.seq, record.runAt, 0, null);
    // Listed rather than spread: this statement runs twice for every task.
    const { changes } = this.connection
      .prepare(UPDATE_STATE)
      .run(
        stage,
        due,
        next.status,
        version,
        next.runAt,
        next.retryCount,
        next.crashes,
        next.fence,
        next.owner,
        next.leaseExpiresAt,
        next.startedAt,
        next.completedAt,
        next.result,
        next.details,
        next.alarmAt,
        blocked,
        events,
        line,
        line,
        row.stage,
        row.due,
        record.seq,
        record.version,
      );
    if (changes === 0) return undefined;
    if (record.alarmAt !== next.alarmAt) this.moveAlarm(record.seq, record.alarmAt, next.alarmAt);
    const written = {
      record: recordOf(row.record, next, version, events, blocked === 0 ? [] : [...row.record.blockedBy]),
      stage,
      due,
      blocked,
      isFresh: false,
    };
    this.#moved(row, written, now);
    return written;
  }

  /** What follows from a row's new state for the places it is listed and counted in. */
  #moved(from: TaskRow, to: TaskRow, now: number): void {
    if (from.stage === STAGE.ready) this.leaveReady(from);
    if (to.stage === STAGE.ready) this.becomeReady(laneKey(to.record), quotaPlace(to), now);
    const { quota } = to.record;
    if (quota) this.gates.move(quota, from.record.status, to.record.status, now);
    this.totals.countRow(from, -1);
    this.totals.countRow(to, 1);
    if (!isEnded(from.record.status)) this.totals.countEnding(to.record.status, now);
  }

  #gateOpened(key: string): void {
    // With another kind paused, or none, other lanes pass.
    if (key.startsWith('@') || this.quotaLanes.free(key)) this.choices.clear();
    for (const choice of this.choices.values()) choice.gateOpened(key);
  }

  /** Writes what was put off. Called once, as the last step. */
  finish(): void {
    this.enterReady();
    for (const choice of this.choices.values()) choice.finish();
    this.#lanes?.finish();
    this.#gates?.finish();
    this.totals.write();
  }
}

function quotaPlace({ due, record }: Pick<TaskRow, 'due' | 'record'>): QuotaPlace {
  const weights = record.quota ? weightsText(record.quota) : '';
  return { rank: due, seq: record.seq, weights: weights || null };
}
