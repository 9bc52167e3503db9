import type { Kind } from '../../claim-filter.ts';
import {
  corrected,
  entered,
  type Gate,
  kindGates,
  left,
  newGate,
  OPEN,
  obstacleAt,
  opensAt,
} from '../../gate.ts';
import { isThreadKey, THREAD_LIMIT } from '../../limits.ts';
import type { Quota } from '../../quota.ts';
import { GATES_LISTED_MAX, type GateChange } from '../../task-store.ts';
import type { MemoryEntry } from './memory-entry.ts';

interface KnownGate {
  gate: Gate;
  /** Tasks not ended that name it; those that are stored where it is a thread's. */
  tasks: number;
}

/** The gates that tasks pass when they are claimed, by key. */
export class MemoryGates {
  readonly #known = new Map<string, KnownGate>();
  /** Kinds that are paused. */
  #pausedKinds = 0;

  get hasPausedKinds(): boolean {
    return this.#pausedKinds > 0;
  }

  /** Whether a start of the task would pass all its gates now; its agent and type aside. */
  admits({ record }: MemoryEntry, now: number): boolean {
    return (record.quota?.limits ?? []).every(({ key, weight }) => {
      const known = this.#known.get(key);
      return !known || obstacleAt(known.gate, weight, now) === null;
    });
  }

  isPaused(kind: Kind): boolean {
    return kindGates(kind).some((key) => this.#known.get(key)?.gate.isPaused);
  }

  enter({ limits }: Quota, now: number): void {
    for (const { key, weight } of limits) this.#change(key, (gate) => entered(gate, weight, now));
  }

  leave({ limits }: Quota): void {
    for (const { key } of limits) this.#change(key, left);
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
      if (reserved !== undefined) this.#change(key, (gate) => corrected(gate, startedAt, weight - reserved));
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
    if (key.startsWith('@')) this.#pausedKinds += Number(isPaused) - Number(gate.isPaused);
  }

  /** In the order asked. */
  get(keys: readonly string[] | null): (Gate | null)[] {
    if (keys) return keys.map((key) => this.#known.get(key)?.gate ?? null);
    const listed = [...this.#known.values()].map(({ gate }) => gate);
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
