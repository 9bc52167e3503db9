import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { laneKey } from '../../claim-filter.ts';
import { type EventFacts, historyLine } from '../../history-text.ts';
import { type EndStatus, isEnded, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import { type TaskState, THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';
import { placeOf, STAGE } from './stage.ts';
import { isBlocked, type TaskRow } from './task-row.ts';

const MINUTE_MS = 60_000;
const COUNTED = [...TASK_STATUSES, 'delayed', 'blocked'] as const;
type Counted = (typeof COUNTED)[number];

const UPDATE_TOTALS = `UPDATE totals SET seq = ?, laned = ?, ${COUNTED.map((name) => `${name} = ${name} + ?`).join(', ')} WHERE id = 1`;

/**
 * 500 is HISTORY_EVENTS_MAX: from there on each new line takes the place of the oldest. An empty line stands for
 * no event and leaves the history as it is.
 */
const UPDATE_STATE = `UPDATE states SET stage = ?, due = ?, status = ?, version = ?, run_at = ?, retry_count = ?,
  crashes = ?, fence = ?, owner = ?, lease_expires_at = ?, started_at = ?, completed_at = ?, result = ?, details = ?,
  blocked = ?, events = ?, history = CASE WHEN events <= 500 OR ? = '' THEN history
    ELSE substr(history, instr(history, char(10)) + 1) END || ?
  WHERE stage = ? AND due = ? AND seq = ? AND version = ?`;
/** So many sequences are looked at in one step: at most about 10 ms. */
const LANE_SLICE_SEQS = 5_000;
const FILL_LANES = `INSERT OR IGNORE INTO ready_lanes (lane, due, seq)
  SELECT s.lane, s.due, s.seq FROM states s INDEXED BY states_by_seq WHERE s.seq > ? AND s.seq <= ? AND s.stage = 1`;

export interface InsertMark {
  readonly seq: number;
  readonly pending: number;
  readonly delayed: number;
  readonly blocked: number;
}

/**
 * One transaction on the queue's tables. It reads the counters once and writes their changes once, at its
 * end, however many tasks it touches.
 */
export class QueueTransaction {
  readonly connection: SqliteConnection;
  #isPaused: boolean;
  #seq: number;
  readonly #firstSeq: number;
  #laned: number;
  readonly #firstLaned: number;
  readonly #deltas: Record<Counted, number>;
  readonly #endings = new Map<string, { minute: number; status: EndStatus; count: number }>();
  #hasEdges: boolean | undefined;

  constructor(connection: SqliteConnection) {
    this.connection = connection;
    const [seq, paused, laned] = (connection.prepare('SELECT seq, paused, laned FROM totals').raw().get() ??
      []) as unknown[];
    this.#seq = typeof seq === 'number' ? seq : highestSeq(connection);
    this.#firstSeq = this.#seq;
    this.#laned = typeof laned === 'number' ? laned : 0;
    this.#firstLaned = this.#laned;
    this.#isPaused = Boolean(paused);
    this.#deltas = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Record<Counted, number>;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Also later claims of this transaction see it. */
  setPaused(paused: boolean): void {
    this.connection.prepare('UPDATE totals SET paused = ? WHERE id = 1').run(paused ? 1 : 0);
    this.#isPaused = paused;
  }

  /** The next sequence; it is never given again, also when its task is purged. */
  nextSeq(): number {
    return ++this.#seq;
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
    if (this.#laned >= this.#seq) return true;
    const upTo = Math.min(this.#seq, this.#laned + LANE_SLICE_SEQS);
    this.connection.prepare(FILL_LANES).run(this.#laned, upTo);
    this.#laned = upTo;
    return upTo === this.#seq;
  }

  /** A task has become ready. */
  enterLane(lane: string, due: number, seq: number): void {
    if (seq > this.#laned) return;
    this.connection
      .prepare('INSERT OR IGNORE INTO ready_lanes (lane, due, seq) VALUES (?, ?, ?)')
      .run(lane, due, seq);
  }

  #leaveLane(lane: string, due: number, seq: number): void {
    if (seq > this.#laned) return;
    this.connection
      .prepare('DELETE FROM ready_lanes WHERE lane = ? AND due = ? AND seq = ?')
      .run(lane, due, seq);
  }

  /** What `backTo` needs to forget what was counted after this. Only inserts are undone in the midst. */
  mark(): InsertMark {
    const { pending, delayed, blocked } = this.#deltas;
    return { seq: this.#seq, pending, delayed, blocked };
  }

  backTo({ seq, pending, delayed, blocked }: InsertMark): void {
    this.#seq = seq;
    Object.assign(this.#deltas, { pending, delayed, blocked });
  }

  count(name: Counted, by: number): void {
    this.#deltas[name] += by;
  }

  countRow(row: TaskRow, by: 1 | -1): void {
    this.#deltas[row.record.status] += by;
    if (row.stage === STAGE.delayed) this.#deltas.delayed += by;
    if (isBlocked(row)) this.#deltas.blocked += by;
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
    if (row.stage === STAGE.ready) this.#leaveLane(laneKey(record), row.due, record.seq);
    if (stage === STAGE.ready) this.enterLane(laneKey(record), due, record.seq);
    const written = { record: merge(row, next, version, events, blocked), stage, due, blocked };
    this.countRow(row, -1);
    this.countRow(written, 1);
    if (isEnded(next.status) && !isEnded(record.status)) this.#countEnding(next.status, now);
    return written;
  }

  /** Writes what the transaction counted. Called once, as its last step. */
  finish(): void {
    const deltas = COUNTED.map((name) => this.#deltas[name]);
    const isUnchanged = this.#seq === this.#firstSeq && this.#laned === this.#firstLaned;
    if (isUnchanged && deltas.every((delta) => delta === 0)) return;
    const { changes } = this.connection.prepare(UPDATE_TOTALS).run(this.#seq, this.#laned, ...deltas);
    if (changes === 0) this.#recreateTotals(deltas);
    this.#writeEndings();
  }

  #recreateTotals(deltas: readonly number[]): void {
    this.connection.prepare('INSERT INTO totals (id) VALUES (1)').run();
    this.connection.prepare(UPDATE_TOTALS).run(this.#seq, this.#laned, ...deltas);
  }

  #countEnding(status: TaskStatus, at: number): void {
    if (!isEnded(status)) return;
    const minute = Math.floor(at / MINUTE_MS);
    const key = `${minute} ${status}`;
    const counted = this.#endings.get(key);
    if (counted) counted.count++;
    else this.#endings.set(key, { minute, status, count: 1 });
  }

  #writeEndings(): void {
    for (const { minute, status, count } of this.#endings.values()) {
      this.connection
        .prepare(
          `INSERT INTO endings (minute, status, count) VALUES (?, ?, ?)
           ON CONFLICT (minute, status) DO UPDATE SET count = count + excluded.count`,
        )
        .run(minute, status, count);
      this.connection.prepare('DELETE FROM endings WHERE minute <= ?').run(minute - THROUGHPUT_MINUTES_MAX);
    }
  }
}

function merge(
  row: TaskRow,
  next: TaskState,
  version: number,
  events: number,
  blocked: number,
): TaskRow['record'] {
  const { seq, id, submission, hash, priority, agentType, agent, rank, createdAt, blockedBy } = row.record;
  const { status, runAt, retryCount, crashes, fence, owner } = next;
  const { leaseExpiresAt, startedAt, completedAt, result, details } = next;
  return {
    seq,
    id,
    submission,
    hash,
    priority,
    agentType,
    agent,
    rank,
    createdAt,
    status,
    runAt,
    retryCount,
    crashes,
    fence,
    owner,
    leaseExpiresAt,
    startedAt,
    completedAt,
    result,
    details,
    version,
    events,
    blockedBy: blocked === 0 ? [] : [...blockedBy],
  };
}

/** Only when the counters were damaged: sequences of purged tasks are unknown then. */
function highestSeq(connection: SqliteConnection): number {
  return Number(connection.prepareValue('SELECT max(seq) FROM tasks').get() ?? 0);
}
