import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { LaneCursor, type StoredHead } from './lane-cursor.ts';
import { type Place, QuotaLane } from './quota-lane.ts';
import { OWN, type TransactionTurns } from './transaction-turns.ts';

/**
 * Up to so many sources are looked at one by one, so that a closed gate costs one look however many backlogs
 * wait behind it. More of them are looked at in one order, lane by lane.
 */
const SOURCES_MAX = 16;

export const SELECT_HAS_LANES = `SELECT EXISTS (SELECT 1 FROM lane_heads WHERE lane > '')`;
export const SELECT_HAS_FAIR_LANES = `SELECT EXISTS (SELECT 1 FROM lane_heads WHERE fair_key <> '')`;
export const SELECT_HAS_KEPT = `SELECT EXISTS (SELECT 1 FROM lane_heads WHERE kept_by IS NOT NULL)`;
/** Turns that meanwhile ended say nothing more (see transaction-turns.ts). */
export const FREE_KEPT = `UPDATE lane_heads SET kept_by = NULL, turn = iif(turn <= ?, 0, turn) WHERE kept_by = ?`;
/** One seek per source, however many lanes each has. */
export const SELECT_SOURCES = `WITH RECURSIVE sources (source) AS (
    SELECT (SELECT source FROM lane_heads WHERE kept_by IS NULL ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT l.source FROM lane_heads l WHERE l.kept_by IS NULL AND l.source > sources.source ORDER BY l.source LIMIT 1)
    FROM sources WHERE sources.source IS NOT NULL LIMIT ${SOURCES_MAX + 1}
  ) SELECT source FROM sources WHERE source IS NOT NULL`;

/** The ready tasks that have a quota, by lane, as one transaction sees and changes them. */
export class QuotaLanes {
  readonly #connection: SqliteConnection;
  readonly #turns: TransactionTurns;
  readonly #changed: (lane: QuotaLane) => void;
  readonly #lanes = new Map<string, QuotaLane>();
  #sources: readonly (string | null)[] | undefined;
  #hasLanes: boolean | undefined;
  #hasTurns: boolean | undefined;
  #hasKept: boolean | undefined;

  /** `changed` is told of lanes whose first task may be another one, other than by `shift`. */
  constructor(connection: SqliteConnection, turns: TransactionTurns, changed: (lane: QuotaLane) => void) {
    this.#connection = connection;
    this.#turns = turns;
    this.#changed = changed;
  }

  get isEmpty(): boolean {
    this.#hasLanes ??= this.#connection.prepareValue(SELECT_HAS_LANES).get() === 1;
    return !this.#hasLanes;
  }

  /** Backlogs take turns while tasks of any fair key are ready; null while they do not. */
  get turns(): TransactionTurns | null {
    this.#hasTurns ??= this.#connection.prepareValue(SELECT_HAS_FAIR_LANES).get() === 1;
    return this.#hasTurns ? this.#turns : null;
  }

  /** The lanes that this transaction has met; those of the cursors may be others. */
  get met(): Iterable<QuotaLane> {
    return this.#lanes.values();
  }

  add(key: string, place: Place): void {
    this.#hasLanes = true;
    const lane = this.#load(key);
    if (lane.fairKey !== OWN) this.#hasTurns = true;
    lane.add(place);
    this.#changed(lane);
  }

  remove(key: string, place: Pick<Place, 'rank' | 'seq'>): void {
    const lane = this.#load(key);
    lane.remove(place);
    this.#changed(lane);
  }

  /** Where the first task of the lane stands; undefined where it is empty. */
  headOf(key: string): Place | undefined {
    return this.#load(key).head;
  }

  /** Over the lanes that were stored before the transaction; `wasRead` is told of those of all sources in one. */
  cursors(wasRead: (heads: readonly StoredHead[]) => void): LaneCursor[] {
    this.#sources ??= this.#readSources();
    return this.#sources.map((source) => new LaneCursor(this.#connection, source, wasRead));
  }

  /** Claims look again at what the key kept back; false where that is nothing. */
  free(key: string): boolean {
    this.#hasKept ??= this.#connection.prepareValue(SELECT_HAS_KEPT).get() === 1;
    if (!this.#hasKept) return false;
    const { changes } = this.#connection.prepare(FREE_KEPT).run(this.#turns.startedAt, key);
    if (changes > 0) this.#sources = undefined;
    return changes > 0;
  }

  laneAt({ lane, place, turn }: StoredHead): QuotaLane {
    return this.#lanes.get(lane) ?? this.#keep(QuotaLane.at(this.#connection, lane, place), turn);
  }

  finish(): void {
    for (const lane of this.#lanes.values()) lane.finish((fairKey) => this.#turns.storedTurn(fairKey));
    this.#turns.finish();
  }

  #readSources(): (string | null)[] {
    const sources = this.#connection.prepareValue(SELECT_SOURCES).all().map(String);
    return sources.length > SOURCES_MAX ? [null] : sources;
  }

  #load(key: string): QuotaLane {
    const known = this.#lanes.get(key);
    if (known) return known;
    const { lane, turn } = QuotaLane.read(this.#connection, key);
    return this.#keep(lane, turn);
  }

  #keep(lane: QuotaLane, turn: number | undefined): QuotaLane {
    this.#lanes.set(lane.key, lane);
    if (turn !== undefined && lane.fairKey !== OWN) this.#turns.learn(lane.fairKey, turn);
    return lane;
  }
}
