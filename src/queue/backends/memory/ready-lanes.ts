import { type ClaimFilter, laneKey, laneMatches } from '../../claim-filter.ts';
import { Heap } from './heap.ts';
import type { MemoryEntry } from './memory-entry.ts';

interface ReadyLane {
  readonly key: string;
  readonly priority: number;
  readonly agentType: string | null;
  readonly agent: string | null;
  readonly heap: Heap<MemoryEntry>;
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
      lane = { key, priority, agentType, agent, heap: new Heap<MemoryEntry>(isBefore) };
      this.#lanes.set(key, lane);
    }
    lane.heap.push(entry);
  }

  /** Removes and returns up to `limit` entries in order. */
  take(limit: number, filter: ClaimFilter | null): MemoryEntry[] {
    const heads = new Heap<ReadyLane>((a, b) => isBefore(a.heap.peek()!, b.heap.peek()!));
    for (const lane of this.#lanes.values()) {
      if ((filter === null || laneMatches(lane, filter)) && this.#head(lane)) heads.push(lane);
    }
    const taken: MemoryEntry[] = [];
    while (taken.length < limit) {
      const lane = heads.pop();
      if (!lane) break;
      const entry = lane.heap.pop()!;
      entry.isInLane = false;
      taken.push(entry);
      if (this.#head(lane)) heads.push(lane);
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

export function isBefore(a: MemoryEntry, b: MemoryEntry): boolean {
  return a.record.rank < b.record.rank || (a.record.rank === b.record.rank && a.record.seq < b.record.seq);
}
