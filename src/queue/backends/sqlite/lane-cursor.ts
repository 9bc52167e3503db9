import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { isAhead } from '../../rank.ts';
import { type Place, toPlace } from './quota-lane.ts';
import type { TransactionTurns } from './transaction-turns.ts';

/** So many lanes are read at first; more each time. */
const PORTION_MIN = 4;
const PORTION_MAX = 128;

const HEADS = 'SELECT lane, turn, rank, seq, weights FROM lane_heads';
export const SELECT_SOURCE_HEADS = `${HEADS} WHERE kept_by IS NULL AND source = ? AND (turn, rank, seq) > (?, ?, ?)
  ORDER BY turn, rank, seq LIMIT +?`;
export const SELECT_ALL_HEADS = `${HEADS} INDEXED BY lane_heads_in_order WHERE kept_by IS NULL AND (turn, rank, seq) > (?, ?, ?)
  ORDER BY turn, rank, seq LIMIT +?`;

/** A lane's head as it was stored before the transaction. */
export interface StoredHead {
  readonly lane: string;
  readonly turn: number;
  readonly place: Place;
}

/** Where a task stands among others: its backlog's turn first, then the order. */
export interface Standing {
  readonly turn: number;
  readonly place: Pick<Place, 'rank' | 'seq'>;
}

export function goesBefore(a: Standing, b: Standing): boolean {
  return a.turn < b.turn || (a.turn === b.turn && isAhead(a.place, b.place));
}

/** Reads lanes in the order of their heads, as they are needed: those of one source, or of all where `source` is null. */
export class LaneCursor {
  /** The limits that all of its lanes have. */
  readonly limits: readonly string[];
  readonly #connection: SqliteConnection;
  readonly #source: string | null;
  readonly #wasRead: (heads: readonly StoredHead[]) => void;
  #heads: StoredHead[] = [];
  #next = 0;
  #portion = PORTION_MIN;
  #isAtEnd = false;

  constructor(
    connection: SqliteConnection,
    source: string | null,
    wasRead: (heads: readonly StoredHead[]) => void,
  ) {
    this.#wasRead = wasRead;
    this.#connection = connection;
    this.#source = source;
    const limits = source?.slice(0, source.lastIndexOf('|')) ?? '';
    this.limits = limits === '' ? [] : limits.split(',');
  }

  /** The next lane, if it may stand before this one; lanes stand where they did when the transaction began, or later. */
  takeBefore(first: Standing | undefined, turns: TransactionTurns | null): StoredHead | undefined {
    const head = this.#peek();
    if (!head || (first && !this.#mayGoBefore(head, first, turns))) return undefined;
    this.#next++;
    return head;
  }

  #mayGoBefore({ turn, place }: StoredHead, first: Standing, turns: TransactionTurns | null): boolean {
    if (turns === null) return goesBefore({ turn: 0, place }, first);
    if (turn > turns.at) return goesBefore({ turn, place }, first);
    // All of these start now, or later, and are in order only as long as nobody's turn has begun since.
    if (turn === 0 && turns.at === turns.startedAt) return goesBefore({ turn: turns.at, place }, first);
    return turns.at <= first.turn;
  }

  #peek(): StoredHead | undefined {
    if (this.#next === this.#heads.length && !this.#isAtEnd) this.#readOn();
    return this.#heads[this.#next];
  }

  #readOn(): void {
    const last = this.#heads.at(-1);
    const after = last ? [last.turn, last.place.rank, last.place.seq] : [-1, 0, 0];
    const rows = (
      this.#source === null
        ? this.#connection.prepareRows(SELECT_ALL_HEADS).all(...after, this.#portion)
        : this.#connection.prepareRows(SELECT_SOURCE_HEADS).all(this.#source, ...after, this.#portion)
    ) as unknown[][];
    this.#isAtEnd = rows.length < this.#portion;
    this.#portion = Math.min(2 * this.#portion, PORTION_MAX);
    this.#next = 0;
    this.#heads = rows.map(toHead);
    if (this.#source === null) this.#wasRead(this.#heads);
  }
}

function toHead([lane, turn, ...place]: readonly unknown[]): StoredHead {
  return { lane: String(lane), turn: typeof turn === 'number' ? turn : 0, place: toPlace(place) };
}
