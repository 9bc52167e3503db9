import { type ClaimFilter, type Kind, kindsOf, type Lane, laneKey, laneMatches } from '../../claim-filter.ts';
import { KeyedHeap } from './keyed-heap.ts';
import { LaneQueue } from './lane-queue.ts';
import type { MemoryEntry } from './memory-entry.ts';
import type { MemoryGates } from './memory-gates.ts';

interface ReadyLane extends Lane {
  readonly key: string;
  /** By rank, then sequence. */
  readonly queue: LaneQueue<MemoryEntry>;
}

/**
 * The claimable tasks, by lane: what a filter can tell apart. A claim merges the heads of the lanes that
 * match, so that its cost depends on the number of lanes, never on how many tasks wait.
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
    const key = laneKey(entry.record);
    let lane = this.#lanes.get(key);
    if (!lane) {
      const { priority, agentType, agent, quota } = entry.record;
      lane = { key, priority, agentType, agent, quota, queue: new LaneQueue() };
      this.#lanes.set(key, lane);
    }
    lane.queue.push(entry.record.rank, entry.record.seq, entry);
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
      // What was taken from other lanes may have closed a gate of this one.
      const isOpen = this.#isOpen(lane, now);
      if (isOpen) this.#takeHead(lane, taken, now);
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
      if (!lane.queue.peek()) this.#lanes.delete(lane.key);
    }
  }

  /** When the oldest claimable task was created. Within a lane the head by rank is the oldest. */
  oldestAt(): number | null {
    let oldest: number | null = null;
    for (const lane of this.#lanes.values()) {
      const head = this.#head(lane);
      if (head && (oldest === null || head.record.createdAt < oldest)) oldest = head.record.createdAt;
    }
    return oldest;
  }

  /** What the claimable tasks want, each once. */
  kinds(): Kind[] {
    return kindsOf([...this.#lanes.values()].filter((lane) => this.#head(lane) !== undefined));
  }

  /** By the keys alone: the entries of a million lie all over the memory, so only the chosen one is looked at. */
  #firstLane(filter: ClaimFilter | null, now: number): ReadyLane | undefined {
    let first: ReadyLane | undefined;
    for (const lane of this.#lanes.values()) {
      if (first && !lane.queue.goesBefore(first.queue)) continue;
      if (this.#mayTake(lane, filter, now)) first = lane;
    }
    return first;
  }

  #mayTake(lane: ReadyLane, filter: ClaimFilter | null, now: number): boolean {
    if (filter !== null && !laneMatches(lane, filter)) return false;
    if (this.#gates.hasPausedKinds && this.#gates.isPaused(lane)) return false;
    return this.#isOpen(lane, now);
  }

  /** A head that counts no more keeps nothing back: it is dropped in its turn, and the next one has its own. */
  #isOpen(lane: ReadyLane, now: number): boolean {
    if (lane.quota === undefined) return true;
    const head = lane.queue.peek()!;
    return head.stage !== 'ready' || this.#gates.admits(head, now);
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
    if (!lane.queue.peek()) this.#lanes.delete(lane.key);
    return entry;
  }

  /** The first entry that still counts; drops those that were cancelled or taken by id meanwhile. */
  #head(lane: ReadyLane): MemoryEntry | undefined {
    for (;;) {
      const entry = lane.queue.peek();
      if (!entry) {
        this.#lanes.delete(lane.key);
        return undefined;
      }
      if (entry.stage === 'ready') return entry;
      lane.queue.pop();
      this.#left(entry);
    }
  }

  #left(entry: MemoryEntry): false {
    entry.isInLane = false;
    this.#size--;
    return false;
  }
}

export function isBefore(a: MemoryEntry, b: MemoryEntry): boolean {
  return a.record.rank < b.record.rank || (a.record.rank === b.record.rank && a.record.seq < b.record.seq);
}
