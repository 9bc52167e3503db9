import type { ClaimFilter, Kind, Lane } from '../../claim-filter.ts';
import type { Held, Place, Quotas } from '../../holding-store.ts';
import type { Claim, TaskRecord } from '../../task-store.ts';
import { type Asking, DRY, Frontiers, UNKNOWN } from './frontiers.ts';
import { LaneDeques } from './lane-deques.ts';

/** How soon something due that did not go away is asked about again, ms. */
const DUE_AGAIN_MS = 50;

/** A claim served from the shelf: the tasks, and when the lease of each ends. */
export interface Served {
  readonly records: readonly TaskRecord[];
  readonly leaseExpiresAt: number;
}

/** A question to the store: what may be held ahead for this filter. */
export interface Question {
  readonly filter: ClaimFilter | null;
  readonly limit: number;
  readonly last: Place | null;
}

/** A question under way, and what happened meanwhile of which its answer may not know. */
export interface Asked {
  readonly question: Question;
  /** Null where it only gives a sign of life. */
  readonly asking: Asking | null;
  dueAt: number | null;
  readonly quotaChanges: number;
}

/**
 * The tasks this node holds ahead, and what it knows of those it does not: whether a held task may be handed
 * out, or something more urgent waits in the store. Makes no calls; times of holds are by the clock of holds.
 */
export class Shelf {
  readonly #deques = new LaneDeques();
  readonly #frontiers = new Frontiers();
  /** Until then all here is held. */
  #heldUntil = Number.NEGATIVE_INFINITY;
  /** When the next delayed task of the store falls due, by the tasks' clock. */
  #dueAt: number | null = null;
  readonly #asked = new Set<Asked>();
  /** Whether tasks with a quota that nobody holds wait in the store. */
  #quotas: Quotas = 'none';
  /** Rises with each change that an answer under way may not know. */
  #quotaChanges = 0;

  get size(): number {
    return this.#deques.size;
  }

  get bytes(): number {
    return this.#deques.bytes;
  }

  has(id: string): boolean {
    return this.#deques.has(id);
  }

  oldestAt(): number | null {
    return this.#deques.oldestAt();
  }

  kinds(): Kind[] {
    return this.#deques.kinds();
  }

  /** The place of what would be handed out last, null with nothing. */
  lastPlace(filter: ClaimFilter | null): Place | null {
    return this.#deques.last(filter);
  }

  /** How long all here is still held, ms. */
  heldMs(at: number): number {
    return this.#heldUntil - at;
  }

  /** Whether such tasks may be ready: claims must ask the store, which tells their order. */
  get isBesideQuotas(): boolean {
    return this.#quotas === 'ready';
  }

  get quotaChanges(): number {
    return this.#quotaChanges;
  }

  /** `changes`: what was known when the store was asked. */
  quotasTold(quotas: Quotas, changes: number): void {
    if (changes === this.#quotaChanges) this.#quotas = quotas;
  }

  /** One of them came to wait, or may pass its gates now. */
  quotasChanged(): void {
    this.#quotas = 'ready';
    this.#quotaChanges++;
  }

  /** The places of what may be handed out now, in order. */
  places({ limit, filter, now }: Claim): Place[] {
    this.#lookAtTime(now);
    return this.#deques.peek(limit, filter, this.#frontiers.of(filter));
  }

  /** What waits here under one of these keys; null: under any. */
  idsUnder(keys: readonly string[] | null): string[] {
    return this.#deques.idsUnder(keys);
  }

  /** Whether nothing waits in the store for this filter, as far as is known. */
  isDry(filter: ClaimFilter | null): boolean {
    return this.#frontiers.of(filter) === DRY;
  }

  /**
   * Takes what goes first. A lease is never promised for longer than the task is held, since the claim may
   * reach the store late. `isBlind`: the store cannot be asked what is more urgent.
   */
  take(claim: Claim, at: number, isBlind: boolean): Served {
    this.#lookAtTime(claim.now);
    const last = isBlind ? DRY : this.#frontiers.of(claim.filter);
    const leaseMs = Math.min(claim.leaseExpiresAt - claim.now, Math.floor(this.heldMs(at)));
    return {
      records: this.#deques.take(claim.limit, claim.filter, last),
      leaseExpiresAt: claim.now + leaseMs,
    };
  }

  /** The store is asked; several questions may be under way, and are answered in order. */
  asking(question: Question): Asked {
    const asking = question.limit > 0 ? this.#frontiers.ask(question.filter) : null;
    const asked = { question, asking, dueAt: null, quotaChanges: this.#quotaChanges };
    this.#asked.add(asked);
    return asked;
  }

  unanswered(asked: Asked): void {
    this.#asked.delete(asked);
    if (asked.asking) this.#frontiers.unanswered(asked.asking);
  }

  answered(asked: Asked, held: Held, askedAt: number, holdMs: number): void {
    this.#asked.delete(asked);
    if (!held.isKnown) this.#deques.clear();
    for (const id of held.dropped) this.#deques.remove(id);
    for (const record of held.records) this.#deques.add(record, askedAt);
    this.#heldUntil = askedAt + holdMs;
    this.#dueAt = earliest(held.nextDueAt, asked.dueAt);
    this.quotasTold(held.quotas, asked.quotaChanges);
    if (asked.asking) this.#frontiers.answer(asked.asking, frontierOf(asked.question, held));
  }

  /** A task came to wait in the store: of this lane, after this place or at it. */
  arrived(lane: Lane, place: Place): void {
    // Whose turn it is the store tells. What its limits keep back, it tells when it is asked for what comes next.
    if (lane.quota && lane.quota.fairKey !== null) this.quotasChanged();
    else this.#frontiers.lower(lane, { rank: place.rank, seq: place.seq - 1 });
  }

  due(runAt: number): void {
    this.#dueAt = earliest(this.#dueAt, runAt);
    for (const asked of this.#asked) asked.dueAt = earliest(asked.dueAt, runAt);
  }

  /** Tasks came to wait of which nothing is known. */
  changed(): void {
    this.#frontiers.forget();
    if (this.#quotas !== 'none') this.quotasChanged();
  }

  /** Takes tasks off the shelf, to be given back. From now on they wait in the store. */
  putBack(ids: readonly string[]): string[] {
    return ids.filter((id) => {
      const record = this.#deques.remove(id);
      if (record) this.arrived(record, record);
      return record !== undefined;
    });
  }

  /** A task was written: as it stood before it is not held any more. */
  dropBefore({ id, version }: TaskRecord): void {
    const held = this.#deques.get(id);
    if (held && held.version < version) this.#deques.remove(id);
  }

  /** The ids of what would be handed out last, at most `limit`, but for the first that a claim would take. */
  last(limit: number, claim: Pick<Claim, 'limit' | 'filter'>): string[] {
    const kept = new Set(this.#deques.peek(claim.limit, claim.filter, DRY).map(({ seq }) => seq));
    const sorted = this.#deques.sorted().filter(({ record }) => !kept.has(record.seq));
    return sorted.slice(Math.max(0, sorted.length - limit)).map(({ record }) => record.id);
  }

  /** The ids of what came before `time`, but for the `keep` that go first. */
  stale(time: number, keep: number): string[] {
    if (this.size <= keep) return [];
    const waiting = this.#deques.sorted().slice(keep);
    return waiting.filter(({ heldAt }) => heldAt < time).map(({ record }) => record.id);
  }

  #lookAtTime(now: number): void {
    if (this.#dueAt !== null && now >= this.#dueAt) this.#frontiers.forget();
  }

  clear(): void {
    this.#deques.clear();
    this.#frontiers.forget();
  }
}

function frontierOf({ limit, last }: Question, { records, isPaused }: Held): Place {
  const final = records.at(-1);
  if (isPaused) return UNKNOWN;
  if (final && records.length >= limit) return { rank: final.rank, seq: final.seq };
  return last ?? DRY;
}

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

/** What is due and still there, e.g. an alarm that is being seen to, must not make all that is known forgotten at once. */
export function dueAfter(now: number, dueAt: number | null): number | null {
  return dueAt === null || dueAt > now ? dueAt : now + DUE_AGAIN_MS;
}
