import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { turnEnd, turnOf } from '../../turns.ts';

/** The backlog of tasks without a fair key. */
export const OWN = '';

const SELECT_END = 'SELECT end FROM turns WHERE fair_key = ?';
const PUT_END = 'INSERT OR REPLACE INTO turns (fair_key, end) VALUES (?, ?)';
export const MOVE_LANES = `UPDATE lane_heads SET turn = ? WHERE fair_key = ? AND fair_key <> '' AND turn <> ?`;
/** Turns that ended before the one that is on say nothing more; there the order of the tasks decides. */
export const FORGET_ENDS = 'DELETE FROM turns WHERE end <= ?';
export const FORGET_TURNS = 'UPDATE lane_heads SET turn = 0 WHERE kept_by IS NULL AND turn > 0 AND turn <= ?';

/** Whose turn it is among the backlogs (see turns.ts), as one transaction sees and moves it. */
export class TransactionTurns {
  readonly #connection: SqliteConnection;
  /** Where `at` was at the start: what has turn 0 in the table starts there. */
  readonly startedAt: number;
  #at: number;
  readonly #ends = new Map<string, number>();
  readonly #served = new Set<string>();

  constructor(connection: SqliteConnection, at: number) {
    this.#connection = connection;
    this.startedAt = at;
    this.#at = at;
  }

  /** Where the backlog served last began its turn. */
  get at(): number {
    return this.#at;
  }

  /** What the table said of the backlog: where its last turn ended, or 0. */
  learn(fairKey: string, end: number): void {
    if (!this.#ends.has(fairKey)) this.#ends.set(fairKey, end);
  }

  startOf(fairKey: string): number {
    if (!this.#ends.has(fairKey)) this.#ends.set(fairKey, this.#storedEnd(fairKey));
    return turnOf({ at: this.#at, ends: this.#ends }, fairKey);
  }

  /** As `startOf`, for the table: 0 where it is now. */
  storedTurn(fairKey: string): number {
    const start = this.startOf(fairKey);
    return start > this.#at ? start : 0;
  }

  serve(fairKey: string, weight: number): void {
    const start = this.startOf(fairKey);
    this.#at = start;
    this.#ends.set(fairKey, turnEnd(start, weight));
    this.#served.add(fairKey);
  }

  /** Called after the lanes were written. */
  finish(): void {
    if (this.#served.size === 0) return;
    for (const fairKey of this.#served) {
      this.#connection.prepare(PUT_END).run(fairKey, this.#ends.get(fairKey)!);
      const turn = this.storedTurn(fairKey);
      if (fairKey !== OWN) this.#connection.prepare(MOVE_LANES).run(turn, fairKey, turn);
    }
    this.#connection.prepare(FORGET_ENDS).run(this.#at);
    this.#connection.prepare(FORGET_TURNS).run(this.#at);
    this.#connection.prepare('UPDATE totals SET turn_at = ? WHERE id = 1').run(this.#at);
  }

  #storedEnd(fairKey: string): number {
    const end = this.#connection.prepareValue(SELECT_END).get(fairKey);
    return typeof end === 'number' ? end : 0;
  }
}
