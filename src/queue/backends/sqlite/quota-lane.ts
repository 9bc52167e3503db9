import type { SqliteConnection } from '../../../sqlite/connection.ts';
import type { Lane } from '../../claim-filter.ts';
import type { LimitUse } from '../../quota.ts';
import { isAhead } from '../../rank.ts';
import { laneOf } from './task-row.ts';
import { OWN } from './transaction-turns.ts';

/** So many places are read at first; more each time, since who needs more than a few may need many. */
const PORTION_MIN = 2;
const PORTION_MAX = 128;

export const SELECT_PLACES = `SELECT rank, seq, weights FROM quota_lanes WHERE lane = ? AND (rank, seq) > (?, ?)
  ORDER BY rank, seq LIMIT +?`;
const INSERT_PLACE = 'INSERT OR IGNORE INTO quota_lanes (lane, rank, seq, weights) VALUES (?, ?, ?, ?)';
const DELETE_PLACE = 'DELETE FROM quota_lanes WHERE lane = ? AND rank = ? AND seq = ?';
const DELETE_TAKEN = 'DELETE FROM quota_lanes WHERE lane = ? AND (rank, seq) <= (?, ?)';
const SELECT_HEAD = 'SELECT rank, seq, weights, turn FROM lane_heads WHERE lane = ?';
const PUT_HEAD = `INSERT OR REPLACE INTO lane_heads (lane, source, fair_key, turn, rank, seq, weights, kept_by)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const KEEP_HEAD = 'UPDATE lane_heads SET kept_by = ? WHERE lane = ?';
const DELETE_HEAD = 'DELETE FROM lane_heads WHERE lane = ?';

/** A task's place in its lane. */
export interface Place {
  readonly rank: number;
  readonly seq: number;
  readonly weights: string | null;
}

/** What stands before every place. */
const START: Place = { rank: -Number.MAX_SAFE_INTEGER - 1, seq: 0, weights: null };

/** A lane of ready tasks that have a quota, as one transaction sees and changes it. */
export class QuotaLane {
  readonly key: string;
  readonly lane: Lane;
  readonly fairKey: string;
  /** Its limits where each weight is 1. */
  readonly uses: readonly LimitUse[];
  /** Their keys, as text. */
  readonly limits: string;
  readonly #connection: SqliteConnection;
  /** The first places that are left, from `#next` on. */
  #places: Place[];
  #next = 0;
  /** Up to here the places were read. */
  #readTo: Place;
  /** Up to here the tasks were taken; their places are still stored. */
  #taken: Place | undefined;
  #portion = PORTION_MIN;
  #isStored: boolean;
  #isChanged = false;
  #keptBy: string | null = null;
  /** Nothing is stored after `#readTo`. */
  #isAtEnd = false;

  private constructor(connection: SqliteConnection, key: string, head: Place | undefined) {
    this.#connection = connection;
    this.key = key;
    this.lane = laneOf(key);
    this.fairKey = this.lane.quota?.fairKey ?? OWN;
    this.uses = this.lane.quota?.limits ?? [];
    this.limits = this.uses.map((use) => use.key).join(',');
    this.#places = head ? [head] : [];
    this.#readTo = head ?? START;
    this.#isStored = head !== undefined;
  }

  /** As its head is stored; `turn`: what is stored beside it. Without one the places themselves tell. */
  static read(connection: SqliteConnection, key: string): { lane: QuotaLane; turn: number | undefined } {
    const row = connection.prepareRows(SELECT_HEAD).get(key) as unknown[] | undefined;
    if (!row) return { lane: new QuotaLane(connection, key, undefined), turn: undefined };
    const [rank, seq, weights, turn] = row;
    return {
      lane: QuotaLane.at(connection, key, toPlace([rank, seq, weights])),
      turn: typeof turn === 'number' ? turn : 0,
    };
  }

  static at(connection: SqliteConnection, key: string, head: Place): QuotaLane {
    return new QuotaLane(connection, key, head);
  }

  get weight(): number {
    return this.lane.quota?.fairWeight ?? 1;
  }

  /** The first task's place; undefined while the lane is empty. */
  get head(): Place | undefined {
    if (this.#next === this.#places.length && !this.#isAtEnd) this.#readOn();
    return this.#places[this.#next];
  }

  add(place: Place): void {
    if (this.#taken && !isAhead(this.#taken, place)) this.#forgetTaken();
    const { head } = this;
    this.#connection.prepare(INSERT_PLACE).run(this.key, place.rank, place.seq, place.weights);
    if (isAhead(this.#readTo, place)) this.#isAtEnd = false;
    if (!this.#isStored) this.#isChanged = true;
    if (head === undefined || isAhead(place, head)) {
      this.#places = [place, ...this.#places.slice(this.#next)];
      this.#next = 0;
      if (isAhead(this.#readTo, place)) this.#readTo = place;
      this.#isChanged = true;
    } else if (isAhead(place, this.#readTo)) {
      // It belongs among those that were read: all but the first are read again.
      this.#places = [head];
      this.#next = 0;
      this.#readTo = head;
    }
  }

  /** The first task is taken, or has no right to its place. */
  shift(): void {
    this.#taken = this.head;
    this.#next++;
    this.#isChanged = true;
  }

  /** A task leaves its place, wherever that is. */
  remove(place: Pick<Place, 'rank' | 'seq'>): void {
    if (this.#taken && !isAhead(this.#taken, place)) return;
    this.#connection.prepare(DELETE_PLACE).run(this.key, place.rank, place.seq);
    const at = this.#places.findIndex(({ seq, rank }) => seq === place.seq && rank === place.rank);
    if (at < this.#next) return;
    if (at === this.#next) this.#isChanged = true;
    this.#places.splice(at, 1);
  }

  /** No claim is to look at it until this key has a place. */
  keepBack(key: string): void {
    this.#keptBy = key;
  }

  /** `turnOf` tells where the backlog's next turn starts. */
  finish(turnOf: (fairKey: string) => number): void {
    this.#forgetTaken();
    const keptBy = this.#keptBy;
    if (!this.#isChanged) {
      if (keptBy !== null) this.#connection.prepare(KEEP_HEAD).run(keptBy, this.key);
      return;
    }
    this.#isChanged = false;
    const { head } = this;
    if (head) {
      const { rank, seq, weights } = head;
      const isOwn = this.fairKey === OWN;
      const source = `${this.limits}|${isOwn ? '' : '*'}`;
      const turn = isOwn ? 0 : turnOf(this.fairKey);
      this.#connection
        .prepare(PUT_HEAD)
        .run(this.key, source, this.fairKey, turn, rank, seq, weights, keptBy);
    } else if (this.#isStored) {
      this.#connection.prepare(DELETE_HEAD).run(this.key);
    }
    this.#isStored = head !== undefined;
  }

  #forgetTaken(): void {
    if (!this.#taken) return;
    const { rank, seq } = this.#taken;
    this.#taken = undefined;
    this.#connection.prepare(DELETE_TAKEN).run(this.key, rank, seq);
  }

  #readOn(): void {
    const { rank, seq } = this.#readTo;
    const rows = this.#connection.prepareRows(SELECT_PLACES).all(this.key, rank, seq, this.#portion);
    this.#portion = Math.min(2 * this.#portion, PORTION_MAX);
    this.#places = (rows as unknown[][]).map(toPlace);
    this.#next = 0;
    this.#isAtEnd = this.#places.length === 0;
    this.#readTo = this.#places.at(-1) ?? this.#readTo;
  }
}

/** Numbers that are none read as 0: no task stands there. */
export function toPlace([rank, seq, weights]: readonly unknown[]): Place {
  return {
    rank: typeof rank === 'number' ? rank : 0,
    seq: typeof seq === 'number' ? seq : 0,
    weights: typeof weights === 'string' ? weights : null,
  };
}

/** Whether the lane's tasks have a quota: its fourth part. */
export function hasQuota(lane: string): boolean {
  return kindPart(lane).length < lane.length;
}

/** The lane without its quota. */
export function kindPart(lane: string): string {
  const type = lane.indexOf('|');
  const agent = lane.indexOf('|', type + 1);
  const quota = lane.indexOf('|', agent + 1);
  return type >= 0 && agent > type && quota > agent ? lane.slice(0, quota) : lane;
}
