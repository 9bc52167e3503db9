import type { SqliteConnection } from '../../../sqlite/connection.ts';
import type { Kind } from '../../claim-filter.ts';
import {
  corrected,
  entered,
  type Gate,
  kindGates,
  left,
  newGate,
  type Obstacle,
  OPEN,
  obstacleAt,
} from '../../gate.ts';
import { isThreadKey, THREAD_LIMIT, threadsOf } from '../../limits.ts';
import type { LimitUse, Quota } from '../../quota.ts';
import { isEnded, isLeased, type TaskStatus } from '../../task.ts';
import type { Change, GateChange } from '../../task-store.ts';
import type { GateCache } from './gate-cache.ts';
import { hasRule, openedGates, readGate, readGatesAmong, type StoredGate, writeGate } from './gate-rows.ts';

/** Pauses of agents and types have keys that begin so, and nothing else has. */
export const SELECT_PAUSED_KINDS = `SELECT key FROM gates WHERE key >= '@' AND key < 'A' AND paused = 1`;
/** A thousand at a time, about 5 ms; the next purge goes on. */
export const FORGET_IDLE = `DELETE FROM gates WHERE key IN (SELECT key FROM gates INDEXED BY gates_idle
  WHERE idle_at IS NOT NULL AND idle_at <= ? ORDER BY idle_at LIMIT 1000) RETURNING key`;
const SELECT_NAMED = 'SELECT key FROM gates WHERE tasks > 0 AND key IN (SELECT value FROM json_each(?))';
/** Less than any start weighs. */
const NEXT_TO_NOTHING = 1e-6;

/**
 * Tasks that a full key will keep back go to their lanes at once, where they stand in nobody's way. Until so many name
 * it for each of its places, or a few, they go with all others, which costs half.
 */
const TASKS_PER_PLACE = 35;
const TASKS_BEYOND_MIN = 100;
const TASKS_BEYOND_MAX = 10_000;

interface KnownGate {
  gate: Gate;
  tasks: number;
  isChanged: boolean;
  /** As it is stored, if it is. */
  stored: StoredGate | undefined;
}

/** The gates that one transaction meets: each is read once, and written once at its end. */
export class TransactionGates {
  readonly #connection: SqliteConnection;
  readonly #cache: GateCache;
  readonly #known = new Map<string, KnownGate>();
  readonly #opened: (key: string) => void;
  #pausedKinds: Set<string> | undefined;
  /** The latest time anybody gave. */
  #now = 0;
  #hasRefreshed = false;

  /** `opened` is told of gates that may let more pass than before. */
  constructor(connection: SqliteConnection, cache: GateCache, opened: (key: string) => void) {
    this.#connection = connection;
    this.#cache = cache;
    cache.begin(connection);
    this.#opened = opened;
  }

  get hasPausedKinds(): boolean {
    return this.#kinds().size > 0;
  }

  /** Whether the task's agent or type is paused. */
  isPaused(kind: Kind): boolean {
    const paused = this.#kinds();
    return paused.size > 0 && kindGates(kind).some((key) => paused.has(key));
  }

  /** Reads many gates at once, which is quicker than one by one as they are met. */
  readAhead(keys: Iterable<string>): void {
    const unknown = new Set<string>();
    for (const key of keys) if (!this.#known.has(key) && !this.#cache.get(key)) unknown.add(key);
    if (unknown.size < 2) return;
    for (const counted of readGatesAmong(this.#connection, [...unknown])) {
      this.#keep(counted);
    }
  }

  /** What keeps a start that weighs this from passing now; null: nothing. */
  obstacleOf(limits: readonly LimitUse[], now: number): Obstacle | null {
    for (const { key, weight } of limits) {
      const obstacle = obstacleAt(this.#at(key).gate, weight, now);
      if (obstacle !== null) return obstacle;
    }
    return null;
  }

  /** Whether somebody has to leave the gate, or to open it, before anybody passes. */
  isFull(key: string): boolean {
    const { isPaused, max, used } = this.#at(key).gate;
    return isPaused || (max !== null && used >= max);
  }

  /** Whether anything at all could pass these limits now. */
  isOpen(keys: readonly string[], now: number): boolean {
    for (const key of keys) if (obstacleAt(this.#at(key).gate, NEXT_TO_NOTHING, now) !== null) return false;
    return true;
  }

  /** Whether weights count under any of these limits: then a light task may pass where a heavy one may not. */
  weighs(limits: readonly LimitUse[]): boolean {
    for (const { key } of limits) if (this.#at(key).gate.rate !== null) return true;
    return false;
  }

  /** Whether a task that becomes ready now will probably be admitted when its turn comes. */
  expects({ limits }: Quota, now: number): boolean {
    for (const { key, weight } of limits) {
      const { gate, tasks } = this.#at(key);
      if (gate.max !== null && tasks > 2 * gate.max + beyond(gate.max)) return false;
      // Whether all that name the key could start at once, if they weigh what this one does.
      const together = gate.rate === null ? weight : weight * Math.max(1, tasks);
      if (gate.rate !== null && together > gate.rate.max) return false;
      if (obstacleAt(gate, together, now) !== null) return false;
    }
    return true;
  }

  enter({ limits }: Quota, now: number): void {
    for (const { key, weight } of limits) this.#change(key, now, (gate) => entered(gate, weight, now));
  }

  /** A task goes from one status to another; that it enters is told apart. */
  move({ limits }: Quota, before: TaskStatus, after: TaskStatus, now: number): void {
    const isLeaving = isLeased(before) && !isLeased(after);
    const tasks = Number(isEnded(before)) - Number(isEnded(after));
    if (!isLeaving && tasks === 0) return;
    for (const { key } of limits) {
      if (isLeaving) this.#change(key, now, left);
      if (isLeaving) this.#opened(key);
      if (tasks !== 0 && !isThreadKey(key)) this.#count(key, tasks, now);
    }
  }

  /** A new task names these limits. */
  addTask({ limits }: Quota, now: number): void {
    for (const { key } of limits) this.#count(key, 1, now);
  }

  /** A task that had ended is stored no more. */
  removeTask({ limits }: Quota): void {
    for (const { key } of limits) if (isThreadKey(key)) this.#count(key, -1, 0);
  }

  /** The threads among these that stored tasks share. */
  sharedAmong(threadIds: readonly string[]): ReadonlySet<string> {
    this.finish();
    const keys = threadIds.map((id) => `${THREAD_LIMIT}${id}`);
    const named = this.#connection.prepareValue(SELECT_NAMED).all(JSON.stringify(keys));
    return new Set(threadsOf(named.map(String)));
  }

  /** What a change says of the limits of its task, and of others. */
  settle(quota: Quota | undefined, { spent, closes }: Change, startedAt: number, now: number): void {
    for (const { key, weight } of (quota && spent) ?? []) {
      const reserved = quota?.limits.find((use) => use.key === key)?.weight;
      if (reserved === undefined) continue;
      this.#change(key, now, (gate) => corrected(gate, startedAt, weight - reserved));
      this.#opened(key);
    }
    for (const { key, until } of closes ?? []) {
      this.#change(key, now, (gate) => ({ ...gate, closedUntil: Math.max(gate.closedUntil, until) }));
    }
  }

  set({ key, rule, isPaused, closedUntil }: GateChange, now: number): void {
    const { gate, stored } = this.#at(key);
    // Most submissions repeat the rule that is there.
    const isRuleAlone = isPaused === undefined && closedUntil === undefined;
    if (isRuleAlone && stored && (rule === undefined || hasRule(gate, rule))) return;
    this.#change(key, now, (gate) => ({
      ...gate,
      ...rule,
      ...(isPaused !== undefined && { isPaused }),
      ...(closedUntil !== undefined && { closedUntil }),
    }));
    this.#opened(key);
    if (isPaused === undefined || !key.startsWith('@')) return;
    if (isPaused) this.#kinds().add(key);
    else this.#kinds().delete(key);
  }

  /** Gates that have opened are told apart from those that will: their next opening is written anew. */
  refresh(now: number): void {
    if (this.#hasRefreshed) return;
    this.#hasRefreshed = true;
    for (const { gate } of openedGates(this.#connection, now)) this.#change(gate.key, now, (same) => same);
  }

  /** Forgets what no task names and nobody set apart. Returns the keys. */
  forgetIdle(now: number): string[] {
    this.finish();
    const keys = this.#connection.prepareValue(FORGET_IDLE).all(now).map(String);
    for (const key of keys) this.#cache.delete(key);
    return keys;
  }

  finish(): void {
    for (const known of this.#known.values()) {
      if (!known.isChanged) continue;
      this.#cache.put(writeGate(this.#connection, known, known.stored, this.#now));
    }
    this.#known.clear();
  }

  #kinds(): Set<string> {
    this.#pausedKinds ??= new Set(this.#connection.prepareValue(SELECT_PAUSED_KINDS).all().map(String));
    return this.#pausedKinds;
  }

  #at(key: string): KnownGate {
    let known = this.#known.get(key);
    if (!known) {
      const stored = this.#cache.get(key) ?? readGate(this.#connection, key);
      if (stored) return this.#keep(stored);
      known = { gate: newGate(key, OPEN), tasks: 0, isChanged: false, stored };
      this.#known.set(key, known);
    }
    return known;
  }

  #keep(stored: StoredGate): KnownGate {
    const { gate, tasks } = stored;
    const known = { gate, tasks, isChanged: false, stored };
    this.#known.set(gate.key, known);
    return known;
  }

  #change(key: string, now: number, change: (gate: Gate) => Gate): void {
    const known = this.#at(key);
    known.gate = change(known.gate);
    this.#mark(known, now);
  }

  #count(key: string, by: number, now: number): void {
    const known = this.#at(key);
    known.tasks = Math.max(0, known.tasks + by);
    this.#mark(known, now);
  }

  #mark(known: KnownGate, now: number): void {
    known.isChanged = true;
    if (now > this.#now) this.#now = now;
  }
}

/** How many tasks may name a key of so many places, beside two for each, before further ones go to their lanes at once. */
function beyond(places: number): number {
  return Math.min(Math.max(TASKS_PER_PLACE * places, TASKS_BEYOND_MIN), TASKS_BEYOND_MAX);
}
