import { type ClaimFilter, laneKey, laneMatches } from '../../claim-filter.ts';
import { Heap } from './heap.ts';
import type { MemoryEntry } from './memory-entry.ts';
import { RankHeap } from './rank-heap.ts';

interface ReadyLane {
  readonly key: string;
  readonly priority: number;
  readonly agentType: string | null;
  readonly agent: string | null;
  readonly heap: RankHeap;
}

/**
 * The claimable tasks, by lane: what a filter can tell apart. A claim merges the heads of the lanes that
 * match, so that its cost depends on the number of lanes, never on how many tasks wait.
 */
export class ReadyLanes {
  readonly #lanes = new Map<string, ReadyLane>();

  add(entry: MemoryEntry): void {
    entry.stage = 'ready';
    if (entry.isInLane) return;
    entry.isInLane = true;
    const key = laneKey(entry.record);
    let lane = this.#lanes.get(key);
    if (!lane) {
      const { priority, agentType, agent } = entry.record;
      lane = { key, priority, agentType, agent, heap: new RankHeap() };
      this.#lanes.set(key, lane);
    }
    lane.heap.push(entry);
  }

  /** Removes and returns up to `limit` entries in order. */
  take(limit: number, filter: ClaimFilter | null): MemoryEntry[] {
    const taken: MemoryEntry[] = [];
    if (limit === 1) {
      for (let lane = this.#firstLane(filter); lane; lane = this.#firstLane(filter)) {
        if (this.#takeHead(lane, taken)) break;
      }
      return taken;
    }
    const lanes = new Heap<ReadyLane>((a, b) => a.heap.goesBefore(b.heap));
    for (const lane of this.#lanes.values()) if (mayTake(lane, filter)) lanes.push(lane);
    while (taken.length < limit) {
      const lane = lanes.pop();
      if (!lane) break;
      this.#takeHead(lane, taken);
      if (lane.heap.peek()) lanes.push(lane);
    }
    return taken;
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

  /** By the keys alone: the entries of a million lie all over the memory, so only the chosen one is looked at. */
  #firstLane(filter: ClaimFilter | null): ReadyLane | undefined {
    let first: ReadyLane | undefined;
    for (const lane of this.#lanes.values()) {
      if (mayTake(lane, filter) && (!first || lane.heap.goesBefore(first.heap))) first = lane;
    }
    return first;
  }

  /** Drops the lane's head, and takes it if it still counts: it may have been cancelled, or taken by its id. */
  #takeHead(lane: ReadyLane, taken: MemoryEntry[]): boolean {
    const entry = lane.heap.pop()!;
    entry.isInLane = false;
    if (!lane.heap.peek()) this.#lanes.delete(lane.key);
    if (entry.stage !== 'ready') return false;
    taken.push(entry);
    return true;
  }

  /** The first entry that still counts; drops those that were cancelled or taken by id meanwhile. */
  #head(lane: ReadyLane): MemoryEntry | undefined {
    for (;;) {
      const entry = lane.heap.peek();
      if (!entry) {
        this.#lanes.delete(lane.key);
        return undefined;
      }
      if (entry.stage === 'ready') return entry;
      lane.heap.pop();
      entry.isInLane = false;
    }
  }
}

function mayTake(lane: ReadyLane, filter: ClaimFilter | null): boolean {
  return lane.heap.peek() !== undefined && (filter === null || laneMatches(lane, filter));
}

export function isBefore(a: MemoryEntry, b: MemoryEntry): boolean {
  return a.record.rank < b.record.rank || (a.record.rank === b.record.rank && a.record.seq < b.record.seq);
}
