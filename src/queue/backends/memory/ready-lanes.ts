import { type ClaimFilter, type Kind, kindKey, kindsOf, laneMatches } from '../../claim-filter.ts';
import { KeyedHeap } from './keyed-heap.ts';
import { LaneQueue } from './lane-queue.ts';
import { LimitedLine } from './limited-line.ts';
import type { MemoryEntry } from './memory-entry.ts';
import type { MemoryGates } from './memory-gates.ts';

interface ReadyLane extends Kind {
  readonly key: string;
  readonly priority: number;
  /** By rank, then sequence. */
  readonly queue: LaneQueue<MemoryEntry> | LimitedLine;
}

/**
 * The claimable tasks, by lane: what a filter can tell apart, and beside each those that have a quota. A claim
 * merges the heads of the lanes that match, so that its cost depends on the number of lanes, never on how many
 * tasks wait.
 */
export class ReadyLanes {
  readonly #gates: MemoryGates;
  readonly #lanes = new Map<string, ReadyLane>();
  #size = 0;

  constructor(gates: MemoryGates) {
    this.#gates = gates;
  }

  /** With those that count no more. */
  get size(): number {
    return this.#size;
  }

  add(entry: MemoryEntry): void {
    if (entry.isInLane) return;
    entry.isInLane = true;
    this.#size++;
    const { record } = entry;
    const key = keyOf(entry);
    let lane = this.#lanes.get(key);
    if (!lane) {
      const { priority, agentType, agent } = record;
      const queue = record.quota ? new LimitedLine(this.#gates, this.#left) : new LaneQueue<MemoryEntry>();
      lane = { key, priority, agentType, agent, queue };
      this.#lanes.set(key, lane);
    }
    lane.queue.push(record.rank, record.seq, entry);
  }

  /** An entry counts no more. */
  leave(entry: MemoryEntry): void {
    if (!entry.isInLane || !entry.record.quota) return;
    const queue = this.#lanes.get(keyOf(entry))?.queue;
    if (queue instanceof LimitedLine) queue.leave(entry);
  }

  /** The first claimable entry, left where it is. */
  peek(filter: ClaimFilter | null, now: number): MemoryEntry | undefined {
    for (let lane = this.#firstLane(filter, now); lane; lane = this.#firstLane(filter, now)) {
      const entry = lane.queue.peek()!;
      if (entry.stage === 'ready') return entry;
      this.#dropHead(lane);
    }
    return undefined;
  }

  /** Removes and returns up to `limit` entries in order; each has entered its gates. */
  take(limit: number, filter: ClaimFilter | null, now: number): MemoryEntry[] {
    const taken: MemoryEntry[] = [];
    if (limit === 1) {
      for (let lane = this.#firstLane(filter, now); lane; lane = this.#firstLane(filter, now)) {
        if (this.#takeHead(lane, taken, now)) break;
      }
      return taken;
    }
    const lanes = new KeyedHeap<ReadyLane>();
    for (const lane of this.#lanes.values()) {
      if (this.#mayTake(lane, filter, now)) lanes.push(lane.queue.peekRank()!, lane.queue.peekSeq()!, lane);
    }
    for (let lane = lanes.peek(); lane && taken.length < limit; lane = lanes.peek()) {
      // What was taken meanwhile may have closed a gate: then another one is its first, and stands further back.
      const isOpen = isReady(lane, now);
      if (isOpen && lane.queue.peekSeq() === lanes.peekTie()) this.#takeHead(lane, taken, now);
      const rank = isOpen ? lane.queue.peekRank() : undefined;
      if (rank === undefined) lanes.pop();
      else lanes.moveFirst(rank, lane.queue.peekSeq()!);
    }
    return taken;
  }

  /** Drops what counts no more, wherever it lies. */
  forgetStale(): void {
    for (const lane of this.#lanes.values()) {
      lane.queue.keep((entry) => entry.stage === 'ready' || this.#left(entry));
      if (lane.queue.isEmpty) this.#lanes.delete(lane.key);
    }
  }

  /** When the oldest claimable task was created. Within a lane the head by rank is the oldest. */
  oldestAt(): number | null {
    let oldest: number | null = null;
    for (const lane of this.#lanes.values()) {
      for (const { record } of this.#heads(lane)) {
        if (oldest === null || record.createdAt < oldest) oldest = record.createdAt;
      }
    }
    return oldest;
  }

  /** What the claimable tasks want, each once. */
  kinds(): Kind[] {
    return kindsOf([...this.#lanes.values()].filter((lane) => this.#heads(lane).length > 0));
  }

  /** By the keys alone: the entries of a million lie all over the memory, so only the chosen one is looked at. */
  #firstLane(filter: ClaimFilter | null, now: number): ReadyLane | undefined {
    let first: ReadyLane | undefined;
    for (const lane of this.#lanes.values()) {
      // Which one is the first of a line is known once its gates were asked.
      const isKnown = !(lane.queue instanceof LimitedLine);
      if (isKnown && first && !goesBefore(lane, first)) continue;
      if (!this.#mayTake(lane, filter, now)) continue;
      if (!first || goesBefore(lane, first)) first = lane;
    }
    return first;
  }

  #mayTake(lane: ReadyLane, filter: ClaimFilter | null, now: number): boolean {
    if (filter !== null && !laneMatches(lane, filter)) return false;
    if (this.#gates.hasPausedKinds && this.#gates.isPaused(lane)) return false;
    return isReady(lane, now);
  }

  /** Drops the lane's head, and takes it if it still counts: it may have been cancelled, or taken by its id. */
  #takeHead(lane: ReadyLane, taken: MemoryEntry[], now: number): boolean {
    const entry = this.#dropHead(lane);
    if (entry.stage !== 'ready') return false;
    if (entry.record.quota) this.#gates.enter(entry.record.quota, now);
    taken.push(entry);
    return true;
  }

  #dropHead(lane: ReadyLane): MemoryEntry {
    const entry = lane.queue.pop()!;
    this.#left(entry);
    if (lane.queue.isEmpty) this.#lanes.delete(lane.key);
    return entry;
  }

  /** The first entries that still count; drops those that were cancelled or taken by id meanwhile. */
  #heads({ key, queue }: ReadyLane): MemoryEntry[] {
    const heads = queue instanceof LimitedLine ? queue.heads() : this.#headOf(queue);
    if (queue.isEmpty) this.#lanes.delete(key);
    return heads;
  }

  #headOf(queue: LaneQueue<MemoryEntry>): MemoryEntry[] {
    for (let entry = queue.peek(); entry; entry = queue.peek()) {
      if (entry.stage === 'ready') return [entry];
      queue.pop();
      this.#left(entry);
    }
    return [];
  }

  readonly #left = (entry: MemoryEntry): false => {
    entry.isInLane = false;
    this.#size--;
    return false;
  };
}

/** Whether it has a first entry to take; one that counts no more is dropped in its turn. */
function isReady({ queue }: ReadyLane, now: number): boolean {
  return queue instanceof LimitedLine ? queue.settle(now) : !queue.isEmpty;
}

function goesBefore({ queue: a }: ReadyLane, { queue: b }: ReadyLane): boolean {
  const [rank, otherRank] = [a.peekRank()!, b.peekRank()!];
  return rank < otherRank || (rank === otherRank && a.peekSeq()! < b.peekSeq()!);
}

function keyOf({ record }: MemoryEntry): string {
  const key = kindKey(record);
  return record.quota ? `${key}|` : key;
}

export function isBefore(a: MemoryEntry, b: MemoryEntry): boolean {
  return a.record.rank < b.record.rank || (a.record.rank === b.record.rank && a.record.seq < b.record.seq);
}
