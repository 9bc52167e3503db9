import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type EndStatus, isEnded, TASK_STATUSES, type TaskStatus } from '../../task.ts';
import { THROUGHPUT_MINUTES_MAX } from '../../task-store.ts';
import { STAGE } from './stage.ts';
import { isBlocked, type TaskRow } from './task-row.ts';

const MINUTE_MS = 60_000;
const COUNTED = [...TASK_STATUSES, 'delayed', 'blocked'] as const;
type Counted = (typeof COUNTED)[number];

const SELECT_TOTALS = 'SELECT seq, paused, laned, turn_at FROM totals';
const UPDATE_TOTALS = `UPDATE totals SET seq = ?, laned = ?, ${COUNTED.map((name) => `${name} = ${name} + ?`).join(', ')} WHERE id = 1`;

export interface InsertMark {
  readonly seq: number;
  readonly pending: number;
  readonly delayed: number;
  readonly blocked: number;
}

/** The queue's counters: read once at the start of a transaction, written once at its end. */
export class Totals {
  readonly #connection: SqliteConnection;
  readonly #firstSeq: number;
  readonly #firstLaned: number;
  readonly #deltas: Record<Counted, number>;
  readonly #endings = new Map<string, { minute: number; status: EndStatus; count: number }>();
  readonly isPaused: boolean;
  /** Where the backlog served last began its turn (see turns.ts). */
  readonly turnAt: number;
  /** The highest sequence given so far. */
  seq: number;
  /** Up to this sequence the ready tasks are in `ready_lanes`. */
  laned: number;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
    const [seq, paused, laned, turnAt] = (connection.prepareRows(SELECT_TOTALS).get() ?? []) as unknown[];
    this.seq = typeof seq === 'number' ? seq : highestSeq(connection);
    this.#firstSeq = this.seq;
    this.laned = typeof laned === 'number' ? laned : 0;
    this.#firstLaned = this.laned;
    this.isPaused = Boolean(paused);
    this.turnAt = typeof turnAt === 'number' ? turnAt : 0;
    this.#deltas = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Record<Counted, number>;
  }

  count(name: Counted, by: number): void {
    this.#deltas[name] += by;
  }

  countRow(row: TaskRow, by: 1 | -1): void {
    this.#deltas[row.record.status] += by;
    if (row.stage === STAGE.delayed) this.#deltas.delayed += by;
    if (isBlocked(row)) this.#deltas.blocked += by;
  }

  countEnding(status: TaskStatus, at: number): void {
    if (!isEnded(status)) return;
    const minute = Math.floor(at / MINUTE_MS);
    const key = `${minute} ${status}`;
    const counted = this.#endings.get(key);
    if (counted) counted.count++;
    else this.#endings.set(key, { minute, status, count: 1 });
  }

  /** What `backTo` needs to forget what was counted after this. Only inserts are undone in the midst. */
  mark(): InsertMark {
    const { pending, delayed, blocked } = this.#deltas;
    return { seq: this.seq, pending, delayed, blocked };
  }

  backTo({ seq, pending, delayed, blocked }: InsertMark): void {
    this.seq = seq;
    Object.assign(this.#deltas, { pending, delayed, blocked });
  }

  write(): void {
    const deltas = COUNTED.map((name) => this.#deltas[name]);
    const isUnchanged = this.seq === this.#firstSeq && this.laned === this.#firstLaned;
    if (isUnchanged && deltas.every((delta) => delta === 0)) return;
    const update = () => this.#connection.prepare(UPDATE_TOTALS).run(this.seq, this.laned, ...deltas);
    if (update().changes === 0) {
      this.#connection.prepare('INSERT INTO totals (id) VALUES (1)').run();
      update();
    }
    this.#writeEndings();
  }

  #writeEndings(): void {
    for (const { minute, status, count } of this.#endings.values()) {
      this.#connection
        .prepare(
          `INSERT INTO endings (minute, status, count) VALUES (?, ?, ?)
           ON CONFLICT (minute, status) DO UPDATE SET count = count + excluded.count`,
        )
        .run(minute, status, count);
      this.#connection.prepare('DELETE FROM endings WHERE minute <= ?').run(minute - THROUGHPUT_MINUTES_MAX);
    }
  }
}

/** Only when the counters were damaged: sequences of purged tasks are unknown then. */
function highestSeq(connection: SqliteConnection): number {
  return Number(connection.prepareValue('SELECT max(seq) FROM tasks').get() ?? 0);
}
