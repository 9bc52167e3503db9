import { type ClaimFilter, type Kind, kindKey, kindsOf, type Lane, laneMatches } from '../../claim-filter.ts';
import type { Place } from '../../holding-store.ts';
import { PassingMap } from '../../passing-map.ts';
import type { TaskRecord } from '../../task-store.ts';

export function isAfter(a: Place, b: Place): boolean {
  return a.rank > b.rank || (a.rank === b.rank && a.seq > b.seq);
}

export interface HeldAhead {
  readonly record: TaskRecord;
  /** When it came, by the clock of holds. */
  readonly heldAt: number;
}

/**
 * An entry of the deques. One that is gone lets go of its task: maps and lists leave old tables behind, one linked to
 * the next, which keep alive what they held until the next full collection.
 */
interface Entry {
  record: TaskRecord | undefined;
  readonly heldAt: number;
}

/** Sorted by place; the first `head` entries are gone. */
interface LaneDeque extends Lane {
  readonly key: string;
  entries: Entry[];
  head: number;
}

/** Gone entries are cut off in pieces of this size at least. */
const CUT_ENTRIES = 256;
/** Empty lanes are kept for the next tasks; more than this many are too many to look at. */
const LANES_MAX = 1_000;

/**
 * The tasks held ahead, in one deque for each lane. Tasks come in order, so that nearly all are pushed at an
 * end and all are taken from the other; a claim compares the heads of the lanes that match its filter.
 */
export class LaneDeques {
  readonly #lanes = new Map<string, LaneDeque>();
  #byId = new PassingMap<string, Entry>();
  #bytes = 0;

  get size(): number {
    return this.#byId.size;
  }

  /** Of the texts, roughly. */
  get bytes(): number {
    return this.#bytes;
  }

  get(id: string): TaskRecord | undefined {
    return this.#byId.get(id)?.record;
  }

  has(id: string): boolean {
    return this.#byId.get(id) !== undefined;
  }

  add(record: TaskRecord, heldAt: number): void {
    if (this.has(record.id)) this.remove(record.id);
    const entry: Entry = { record, heldAt };
    this.#byId.set(record.id, entry);
    this.#bytes += bytesOf(record);
    const { entries, head } = this.#lane(record);
    const last = entries[entries.length - 1];
    if (!last?.record || isAfter(record, last.record)) entries.push(entry);
    else entries.splice(placeOf(entries, head, record), 0, entry);
  }

  /** Removes and returns the first entries that the filter allows and that are not after `last`. */
  take(limit: number, filter: ClaimFilter | null, last: Place): TaskRecord[] {
    const taken: TaskRecord[] = [];
    // The one whose head goes first is the last of them: there it is quickly taken and put back.
    const lanes: LaneDeque[] = [];
    for (const lane of this.#matching(filter)) enlist(lanes, lane);
    while (taken.length < limit) {
      const lane = lanes.pop();
      const entry = lane?.entries[lane.head];
      const record = entry?.record;
      if (!lane || !record || isAfter(record, last)) break;
      this.#drop(lane);
      this.#byId.delete(record.id);
      this.#bytes -= bytesOf(record);
      taken.push(record);
      entry.record = undefined;
      enlist(lanes, lane);
    }
    return taken;
  }

  /** The places of what `take` would remove. */
  peek(limit: number, filter: ClaimFilter | null, last: Place): Place[] {
    const lanes = this.#matching(filter).map((lane) => ({ ...lane }));
    const places: Place[] = [];
    while (places.length < limit) {
      const lane = this.#firstOf(lanes);
      const record = lane?.entries[lane.head]?.record;
      if (!lane || !record || isAfter(record, last)) break;
      lane.head++;
      places.push({ rank: record.rank, seq: record.seq });
    }
    return places;
  }

  remove(id: string): TaskRecord | undefined {
    const entry = this.#byId.get(id);
    const record = entry?.record;
    if (!record) return undefined;
    this.#byId.delete(id);
    this.#bytes -= bytesOf(record);
    const lane = this.#lane(record);
    const at = placeOf(lane.entries, lane.head, record) - 1;
    if (lane.entries[at] === entry) lane.entries.splice(at, 1);
    entry.record = undefined;
    return record;
  }

  clear(): void {
    this.#lanes.clear();
    this.#byId = new PassingMap();
    this.#bytes = 0;
  }

  /** All of them, in order. */
  sorted(): HeldAhead[] {
    return this.#all().sort((a, b) => (isAfter(a.record, b.record) ? 1 : -1));
  }

  /** The place of what goes last of all that the filter allows, null with none. */
  last(filter: ClaimFilter | null): Place | null {
    let last: Place | null = null;
    for (const { entries } of this.#matching(filter)) {
      const record = entries[entries.length - 1]?.record;
      if (record && (!last || isAfter(record, last))) last = record;
    }
    return last && { rank: last.rank, seq: last.seq };
  }

  oldestAt(): number | null {
    let oldest: number | null = null;
    for (const { record } of this.#all()) {
      if (oldest === null || record.createdAt < oldest) oldest = record.createdAt;
    }
    return oldest;
  }

  kinds(): Kind[] {
    return kindsOf(this.#all().map(({ record }) => record));
  }

  /** The tasks that stay under one of these limits; null: under any. */
  idsUnder(keys: readonly string[] | null): string[] {
    const isUnder = ({ quota }: TaskRecord) =>
      quota?.limits.some(({ key }) => keys === null || keys.includes(key));
    return this.#all().flatMap(({ record }) => (isUnder(record) ? [record.id] : []));
  }

  #all(): HeldAhead[] {
    return [...this.#byId.values()] as HeldAhead[];
  }

  #lane(record: TaskRecord): LaneDeque {
    const key = kindKey(record);
    let lane = this.#lanes.get(key);
    if (!lane) {
      if (this.#lanes.size >= LANES_MAX) this.#forgetEmpty();
      const { priority, agentType, agent } = record;
      lane = { key, priority, agentType, agent, entries: [], head: 0 };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #forgetEmpty(): void {
    for (const lane of this.#lanes.values()) if (lane.entries.length === 0) this.#lanes.delete(lane.key);
  }

  #matching(filter: ClaimFilter | null): LaneDeque[] {
    const lanes: LaneDeque[] = [];
    for (const lane of this.#lanes.values()) {
      if (filter === null || laneMatches(lane, filter)) lanes.push(lane);
    }
    return lanes;
  }

  #firstOf(lanes: readonly LaneDeque[]): LaneDeque | undefined {
    let first: LaneDeque | undefined;
    let best: TaskRecord | undefined;
    for (const lane of lanes) {
      const record = lane.entries[lane.head]?.record;
      if (record && (!best || isAfter(best, record))) {
        first = lane;
        best = record;
      }
    }
    return first;
  }

  #drop(lane: LaneDeque): void {
    lane.head++;
    if (lane.head === lane.entries.length) {
      lane.entries = [];
      lane.head = 0;
    } else if (lane.head >= CUT_ENTRIES && lane.head >= lane.entries.length / 2) {
      lane.entries = lane.entries.slice(lane.head);
      lane.head = 0;
    }
  }
}

/** Puts a lane before those whose heads go first; an empty one is left out. */
function enlist(lanes: LaneDeque[], lane: LaneDeque): void {
  const head = lane.entries[lane.head]?.record;
  if (!head) return;
  let at = lanes.length;
  for (; at > 0; at--) {
    const ahead = lanes[at - 1]!;
    if (!isAfter(ahead.entries[ahead.head]!.record!, head)) lanes[at] = ahead;
    else break;
  }
  lanes[at] = lane;
}

function bytesOf({ submission, details }: TaskRecord): number {
  return submission.length + (details?.length ?? 0);
}

function placeOf(entries: readonly Entry[], head: number, place: Place): number {
  let low = head;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isAfter(entries[middle]!.record!, place)) high = middle;
    else low = middle + 1;
  }
  return low;
}
