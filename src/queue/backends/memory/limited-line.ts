import { quotaText } from '../../quota.ts';
import { KeyedHeap } from './keyed-heap.ts';
import { LaneQueue } from './lane-queue.ts';
import type { MemoryEntry } from './memory-entry.ts';
import type { KeptBack, MemoryGates } from './memory-gates.ts';

/** The tasks of one quota, and where they stand in line. */
class LimitedLane implements KeptBack {
  readonly queue = new LaneQueue<MemoryEntry>();
  readonly key: string;
  readonly #line: KeyedHeap<LimitedLane>;
  #rank = 0;
  #seq = 0;
  #isInLine = false;

  constructor(key: string, line: KeyedHeap<LimitedLane>) {
    this.key = key;
    this.#line = line;
  }

  /** Whether a place found in the line is still its own. */
  standsAt(rank: number, seq: number): boolean {
    return this.#isInLine && rank === this.#rank && seq === this.#seq;
  }

  /** Its first task has come, or gone: it stands where that one does. */
  lineUp(): void {
    if (this.#take()) this.#line.push(this.#rank, this.#seq, this);
  }

  /** The same for the first in line. */
  moveFirst(): void {
    if (this.#take()) this.#line.moveFirst(this.#rank, this.#seq);
    else this.#line.pop();
  }

  /** The first in line waits for a gate from now on. */
  stepOut(): void {
    this.#line.pop();
    this.#isInLine = false;
  }

  lookAgain(): void {
    if (!this.#isInLine) this.lineUp();
  }

  /** A task has left that stands in it: who waits for a gate may have a first one that passes. */
  leave(entry: MemoryEntry): void {
    if (!this.#isInLine && this.queue.peek() === entry) this.lineUp();
  }

  #take(): boolean {
    const rank = this.queue.peekRank();
    this.#isInLine = rank !== undefined;
    if (rank === undefined) return false;
    this.#rank = rank;
    this.#seq = this.queue.peekSeq()!;
    return true;
  }
}

/**
 * The claimable tasks of one kind that have a quota. Each quota has a lane of its own, and those stand in line by
 * their first tasks. What a gate keeps back steps out until the gate says so, so that a claim looks at one lane
 * however many there are: keys come by the thousand where each tenant has its own.
 */
export class LimitedLine {
  readonly #gates: MemoryGates;
  readonly #dropped: (entry: MemoryEntry) => void;
  readonly #lanes = new Map<string, LimitedLane>();
  readonly #line = new KeyedHeap<LimitedLane>();

  /** `dropped` is told of entries that had left before. */
  constructor(gates: MemoryGates, dropped: (entry: MemoryEntry) => void) {
    this.#gates = gates;
    this.#dropped = dropped;
  }

  get isEmpty(): boolean {
    return this.#lanes.size === 0;
  }

  /** Brings the first task to the front that its gates admit; false where there is none. */
  settle(now: number): boolean {
    for (let lane = this.#line.peek(); lane; lane = this.#line.peek()) {
      if (!lane.standsAt(this.#line.peekKey()!, this.#line.peekTie()!)) {
        this.#line.pop();
        continue;
      }
      const entry = lane.queue.peek();
      if (entry?.stage !== 'ready') {
        this.#dropHead(lane);
        continue;
      }
      const obstacle = this.#gates.obstacleOf(entry, now);
      if (obstacle === null) return true;
      lane.stepOut();
      this.#gates.keepBack(lane, obstacle);
    }
    return false;
  }

  /** These tell of the task that `settle` has found. */
  peek(): MemoryEntry | undefined {
    return this.#line.peek()?.queue.peek();
  }

  peekRank(): number | undefined {
    return this.#line.peekKey();
  }

  peekSeq(): number | undefined {
    return this.#line.peekTie();
  }

  push(rank: number, seq: number, entry: MemoryEntry): void {
    const key = quotaText(entry.record.quota!);
    let lane = this.#lanes.get(key);
    if (!lane) {
      lane = new LimitedLane(key, this.#line);
      this.#lanes.set(key, lane);
    }
    lane.queue.push(rank, seq, entry);
    if (lane.queue.peek() === entry) lane.lineUp();
  }

  pop(): MemoryEntry | undefined {
    const lane = this.#line.peek();
    return lane && this.#popOf(lane);
  }

  leave(entry: MemoryEntry): void {
    this.#lanes.get(quotaText(entry.record.quota!))?.leave(entry);
  }

  keep(isKept: (entry: MemoryEntry) => boolean): void {
    for (const lane of this.#lanes.values()) {
      const first = lane.queue.peek();
      lane.queue.keep(isKept);
      if (lane.queue.peek() === undefined) this.#lanes.delete(lane.key);
      if (lane.queue.peek() !== first) lane.lineUp();
    }
  }

  /** The first entry of each lane that still counts. */
  heads(): MemoryEntry[] {
    return [...this.#lanes.values()].flatMap((lane) => {
      const { queue } = lane;
      const first = queue.peek();
      for (let entry = first; entry && entry.stage !== 'ready'; entry = queue.peek()) {
        this.#dropped(queue.pop()!);
      }
      if (queue.peek() !== first) lane.lineUp();
      if (queue.peek() === undefined) this.#lanes.delete(lane.key);
      return queue.peek() ?? [];
    });
  }

  #dropHead(lane: LimitedLane): void {
    const entry = this.#popOf(lane);
    if (entry) this.#dropped(entry);
  }

  /** Of the first in line. */
  #popOf(lane: LimitedLane): MemoryEntry | undefined {
    const entry = lane.queue.pop();
    lane.moveFirst();
    if (lane.queue.peek() === undefined) this.#lanes.delete(lane.key);
    return entry;
  }
}
