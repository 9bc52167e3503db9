import type { Kind } from '../../claim-filter.ts';
import {
  corrected,
  entered,
  type Gate,
  kindGates,
  newGate,
  type Obstacle,
  OPEN,
  obstacleAt,
  opensAt,
} from '../../gate.ts';
import { isThreadKey, THREAD_LIMIT } from '../../limits.ts';
import type { Quota } from '../../quota.ts';
import { GATES_LISTED_MAX, type GateChange } from '../../task-store.ts';
import { KeyedHeap } from './keyed-heap.ts';
import type { MemoryEntry } from './memory-entry.ts';

interface KnownGate {
  /** How many passed it is counted here; all else is exchanged as a whole. */
  gate: Omit<Gate, 'used'> & { used: number };
  /** Tasks not ended that name it; those that are stored where it is a thread's. */
  tasks: number;
}

/** What a gate has kept back. */
export interface KeptBack {
  /** The gate may let more pass than before. */
  lookAgain(): void;
}

/** Who waits for the key, and until when each waits at the latest: others may free it sooner. */
interface Queue {
  readonly kept: Set<KeptBack>;
  until: number | null;
}

/** The gates that tasks pass when they are claimed, by key. */
export class MemoryGates {
  readonly #known = new Map<string, KnownGate>();
  /** Kinds that are paused. */
  #pausedKinds = 0;
  readonly #queues = new Map<string, Queue>();
  /** The keys whose queues may pass by time alone; those that were freed before are among them. */
  readonly #openings = new KeyedHeap<string>();

  get hasPausedKinds(): boolean {
    return this.#pausedKinds > 0;
  }

  /** What keeps a start of the task from passing now, its agent and type aside; null: nothing. */
  obstacleOf({ record }: MemoryEntry, now: number): Obstacle | null {
    if (!record.quota) return null;
    for (const { key, weight } of record.quota.limits) {
      const known = this.#known.get(key);
      const obstacle = known ? obstacleAt(known.gate, weight, now) : null;
      if (obstacle !== null) return obstacle;
    }
    return null;
  }

  /** It is told when the obstacle may have gone. */
  keepBack(who: KeptBack, { key, until }: Obstacle): void {
    let queue = this.#queues.get(key);
    if (!queue) {
      queue = { kept: new Set(), until: null };
      this.#queues.set(key, queue);
    }
    queue.kept.add(who);
    if (until === null || (queue.until !== null && queue.until <= until)) return;
    queue.until = until;
    this.#openings.push(until, 0, key);
  }

  /** What waits for a time that has come is looked at again. */
  wake(now: number): void {
    while ((this.#openings.peekKey() ?? Number.POSITIVE_INFINITY) <= now) this.#free(this.#openings.pop()!);
  }

  isPaused(kind: Kind): boolean {
    return kindGates(kind).some((key) => this.#known.get(key)?.gate.isPaused);
  }

  enter({ limits }: Quota, now: number): void {
    for (const { key, weight } of limits) {
      const known = this.#knownAt(key);
      if (known.gate.rate === null) known.gate.used++;
      else known.gate = entered(known.gate, weight, now);
    }
  }

  leave({ limits }: Quota): void {
    for (const { key } of limits) {
      const { gate } = this.#knownAt(key);
      gate.used = Math.max(0, gate.used - 1);
      this.#free(key);
    }
  }

  /** A task that names these keys has come. */
  addTask({ limits }: Quota): void {
    for (const { key } of limits) this.#knownAt(key).tasks++;
  }

  /** Tasks have ended (-1), or come back. */
  count({ limits }: Quota, tasks: 1 | -1): void {
    for (const { key } of limits) if (!isThreadKey(key)) this.#knownAt(key).tasks += tasks;
  }

  /** A task that had ended is stored no more. */
  removeTask({ limits }: Quota): void {
    for (const { key } of limits) if (isThreadKey(key)) this.#knownAt(key).tasks--;
  }

  /** Whether stored tasks share this thread. */
  isShared(threadId: string): boolean {
    return (this.#known.get(`${THREAD_LIMIT}${threadId}`)?.tasks ?? 0) > 0;
  }

  correct({ limits }: Quota, spent: Quota['limits'], startedAt: number): void {
    for (const { key, weight } of spent) {
      const reserved = limits.find((use) => use.key === key)?.weight;
      if (reserved === undefined) continue;
      this.#change(key, (gate) => corrected(gate, startedAt, weight - reserved));
      this.#free(key);
    }
  }

  close(key: string, until: number): void {
    this.#change(key, (gate) => ({ ...gate, closedUntil: Math.max(gate.closedUntil, until) }));
  }

  set(change: GateChange): void {
    const { gate } = this.#knownAt(change.key);
    if (saysNothingNew(gate, change)) return;
    const { key, rule, isPaused = gate.isPaused, closedUntil = gate.closedUntil } = change;
    this.#change(key, () => ({ ...gate, ...rule, isPaused, closedUntil }));
    this.#free(key);
    if (key.startsWith('@')) this.#pausedKinds += Number(isPaused) - Number(gate.isPaused);
  }

  /** In the order asked. */
  get(keys: readonly string[] | null): (Gate | null)[] {
    if (keys) {
      return keys.map((key) => {
        const known = this.#known.get(key);
        return known ? { ...known.gate } : null;
      });
    }
    const listed = [...this.#known.values()].map(({ gate }) => ({ ...gate }));
    return listed.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, GATES_LISTED_MAX);
  }

  nextOpening(now: number): number | null {
    let next: number | null = null;
    for (const { gate, tasks } of this.#known.values()) {
      const at = tasks > 0 ? opensAt(gate, now) : null;
      if (at !== null && (next === null || at < next)) next = at;
    }
    return next;
  }

  /** Forgets what no task names and nobody set apart. Returns the keys. */
  forgetIdle(now: number): string[] {
    const forgotten: string[] = [];
    for (const [key, { gate, tasks }] of this.#known) {
      if (tasks === 0 && !gate.isPaused && opensAt(gate, now) === null) forgotten.push(key);
    }
    for (const key of forgotten) this.#known.delete(key);
    return forgotten;
  }

  #free(key: string): void {
    const queue = this.#queues.get(key);
    if (!queue) return;
    this.#queues.delete(key);
    for (const kept of queue.kept) kept.lookAgain();
  }

  #knownAt(key: string): KnownGate {
    let known = this.#known.get(key);
    if (!known) {
      known = { gate: newGate(key, OPEN), tasks: 0 };
      this.#known.set(key, known);
    }
    return known;
  }

  #change(key: string, change: (gate: Gate) => Gate): void {
    const known = this.#knownAt(key);
    known.gate = change(known.gate);
  }
}

/** Most submissions repeat the rule that is there. */
function saysNothingNew(gate: Gate, { rule, isPaused, closedUntil }: GateChange): boolean {
  return (
    isPaused === undefined &&
    closedUntil === undefined &&
    (rule === undefined ||
      (rule.max === gate.max && rule.rate?.max === gate.rate?.max && rule.rate?.perMs === gate.rate?.perMs))
  );
}
