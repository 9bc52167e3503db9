import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { isAhead, type Place, QuotaLane, toPlace } from './quota-lane.ts';
import { OWN, type TransactionTurns } from './transaction-turns.ts';

/** So many lanes of a source are looked at first; more each time. */
const PORTION_MIN = 4;
const PORTION_MAX = 128;

export const SELECT_HAS_LANES = `SELECT EXISTS (SELECT 1 FROM lane_heads WHERE lane > '')`;
export const SELECT_HAS_FAIR_LANES = `SELECT EXISTS (SELECT 1 FROM lane_heads WHERE fair_key <> '')`;
/** One seek per source, however many lanes each has. */
export const SELECT_SOURCES = `WITH RECURSIVE sources (source) AS (
    SELECT (SELECT source FROM lane_heads ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT l.source FROM lane_heads l WHERE l.source > sources.source ORDER BY l.source LIMIT 1)
    FROM sources WHERE sources.source IS NOT NULL
  ) SELECT source FROM sources WHERE source IS NOT NULL`;
export const SELECT_SOURCE_HEADS = `SELECT lane, turn, rank, seq, weights FROM lane_heads
  WHERE source = ? AND (turn, rank, seq) > (?, ?, ?) ORDER BY turn, rank, seq LIMIT +?`;

interface StoredHead {
  readonly lane: string;
  readonly turn: number;
  readonly place: Place;
}

/** Where a lane stands among others: its backlog's turn first, then the order of its first task. */
export interface Standing {
  readonly turn: number;
  readonly place: Pick<Place, 'rank' | 'seq'>;
}

export function goesBefore(a: Standing, b: Standing): boolean {
  return a.turn < b.turn || (a.turn === b.turn && isAhead(a.place, b.place));
}

/** The lanes of the same limits, with or without fair keys; the first of them are read as they are needed. */
export class LaneSource {
  readonly key: string;
  readonly limits: readonly string[];
  readonly lanes: QuotaLane[] = [];
  readonly #owner: QuotaLanes;
  #ahead: StoredHead[] = [];
  #next = 0;
  #portion = PORTION_MIN;
  #isAtEnd = false;

  constructor(owner: QuotaLanes, key: string) {
    this.#owner = owner;
    this.key = key;
    const limits = key.slice(0, key.lastIndexOf('|'));
    this.limits = limits === '' ? [] : limits.split(',');
  }

  /** The lane whose turn is first, of those that may be taken from. */
  first(mayTake: (lane: QuotaLane) => boolean): { lane: QuotaLane; standing: Standing } | undefined {
    let first: { lane: QuotaLane; standing: Standing } | undefined;
    const consider = (lane: QuotaLane): void => {
      const place = lane.head;
      if (place === undefined) return;
      const standing = { turn: this.#owner.turnOf(lane), place };
      if ((!first || goesBefore(standing, first.standing)) && mayTake(lane)) first = { lane, standing };
    };
    for (const lane of this.lanes) consider(lane);
    for (let head = this.#peek(); head; head = this.#peek()) {
      if (first && !this.#mayGoBefore(head, first.standing)) break;
      this.#next++;
      const lane = this.#owner.loadAt(head.lane, head.place, head.turn);
      if (lane) consider(lane);
    }
    return first;
  }

  /** Stored lanes stand where they did at the start of the transaction, or later. */
  #mayGoBefore({ turn, place }: StoredHead, first: Standing): boolean {
    const { turns, hasTurns } = this.#owner;
    if (!hasTurns) return goesBefore({ turn: 0, place }, first);
    if (!this.key.endsWith('*')) return goesBefore({ turn: turns.startOf(OWN), place }, first);
    if (turn > turns.at) return goesBefore({ turn, place }, first);
    // All of these start now, and are in order only as long as nobody's turn has begun since.
    if (turn === 0 && turns.at === turns.startedAt) return goesBefore({ turn: turns.at, place }, first);
    return turns.at <= first.turn;
  }

  #peek(): StoredHead | undefined {
    if (this.#next === this.#ahead.length && !this.#isAtEnd) this.#readOn();
    return this.#ahead[this.#next];
  }

  #readOn(): void {
    const last = this.#ahead.at(-1);
    const after = last ? [last.turn, last.place.rank, last.place.seq] : [-1, 0, 0];
    const rows = this.#owner.connection
      .prepareRows(SELECT_SOURCE_HEADS)
      .all(this.key, ...after, this.#portion) as unknown[][];
    this.#isAtEnd = rows.length < this.#portion;
    this.#portion = Math.min(2 * this.#portion, PORTION_MAX);
    this.#next = 0;
    this.#ahead = rows.map(([lane, turn, ...place]) => ({
      lane: String(lane),
      turn: typeof turn === 'number' ? turn : 0,
      place: toPlace(place),
    }));
  }
}

/** The ready tasks that have a quota, by lane, as one transaction sees and changes them. */
export class QuotaLanes {
  readonly connection: SqliteConnection;
  readonly turns: TransactionTurns;
  readonly #lanes = new Map<string, QuotaLane>();
  readonly #sources = new Map<string, LaneSource>();
  #hasAllSources = false;
  #hasLanes: boolean | undefined;
  #hasTurns: boolean | undefined;

  constructor(connection: SqliteConnection, turns: TransactionTurns) {
    this.connection = connection;
    this.turns = turns;
  }

  get isEmpty(): boolean {
    this.#hasLanes ??= this.connection.prepareValue(SELECT_HAS_LANES).get() === 1;
    return !this.#hasLanes;
  }

  /** Whether backlogs take turns: while tasks of any fair key are ready. */
  get hasTurns(): boolean {
    this.#hasTurns ??= this.connection.prepareValue(SELECT_HAS_FAIR_LANES).get() === 1;
    return this.#hasTurns;
  }

  add(key: string, place: Place): void {
    this.#hasLanes = true;
    const lane = this.#load(key);
    if (lane.fairKey !== OWN) this.#hasTurns = true;
    lane.add(place);
  }

  remove(key: string, place: Pick<Place, 'rank' | 'seq'>): void {
    this.#load(key).remove(place);
  }

  sources(): Iterable<LaneSource> {
    if (!this.#hasAllSources) {
      for (const key of this.connection.prepareValue(SELECT_SOURCES).all()) this.#sourceAt(String(key));
      this.#hasAllSources = true;
    }
    return this.#sources.values();
  }

  turnOf({ fairKey }: QuotaLane): number {
    return this.hasTurns ? this.turns.startOf(fairKey) : 0;
  }

  /** Undefined where the lane is here already. */
  loadAt(key: string, head: Place, turn: number): QuotaLane | undefined {
    if (this.#lanes.has(key)) return undefined;
    return this.#keep(QuotaLane.at(this.connection, key, head), turn);
  }

  finish(): void {
    for (const lane of this.#lanes.values()) {
      lane.finish(sourceKey(lane), () => (lane.fairKey === OWN ? 0 : this.turns.storedTurn(lane.fairKey)));
    }
    this.turns.finish();
  }

  #load(key: string): QuotaLane {
    const known = this.#lanes.get(key);
    if (known) return known;
    const { lane, turn } = QuotaLane.read(this.connection, key);
    return this.#keep(lane, turn);
  }

  #keep(lane: QuotaLane, turn: number | undefined): QuotaLane {
    this.#lanes.set(lane.key, lane);
    if (turn !== undefined && lane.fairKey !== OWN) this.turns.learn(lane.fairKey, turn);
    this.#sourceAt(sourceKey(lane)).lanes.push(lane);
    return lane;
  }

  #sourceAt(key: string): LaneSource {
    let source = this.#sources.get(key);
    if (!source) {
      source = new LaneSource(this, key);
      this.#sources.set(key, source);
    }
    return source;
  }
}

/** The lane's limits, and whether it has a fair key. */
function sourceKey({ limits, fairKey }: QuotaLane): string {
  return `${limits.join(',')}|${fairKey === OWN ? '' : '*'}`;
}
