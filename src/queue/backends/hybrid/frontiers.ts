import { type ClaimFilter, type Lane, laneMatches } from '../../claim-filter.ts';
import type { Place } from '../../holding-store.ts';
import { isAfter } from './lane-deques.ts';

/** Nothing is known: whatever is held, something more urgent may wait. */
export const UNKNOWN: Place = { rank: Number.NEGATIVE_INFINITY, seq: 0 };
/** Nothing waits beside what is held. */
export const DRY: Place = { rank: Number.POSITIVE_INFINITY, seq: 0 };

/** Managers ask with one filter for each set of agents that is free; more than this many are rarely in use. */
const FILTERS_MAX = 16;

interface Frontier {
  readonly filter: ClaimFilter | null;
  place: Place;
}

/** The store is being asked with this filter. */
export interface Asking {
  readonly filter: ClaimFilter | null;
  /** What came up meanwhile: the answer may be older. */
  lowest: Place;
}

/**
 * For each filter in use: up to which place held tasks may be handed out before the store must be asked,
 * since from there on something that waits in the store goes first. Exact for what this process has written
 * and been told; what others write moves it as soon as it is heard of.
 */
export class Frontiers {
  readonly #byFilter = new Map<string, Frontier>();
  readonly #asked = new Set<Asking>();

  of(filter: ClaimFilter | null): Place {
    return this.#byFilter.get(keyOf(filter))?.place ?? UNKNOWN;
  }

  /** The store is asked with this filter. */
  ask(filter: ClaimFilter | null): Asking {
    const asking = { filter, lowest: DRY };
    this.#asked.add(asking);
    return asking;
  }

  /** It says that nothing which the filter allows waits at or before this place. */
  answer(asking: Asking, place: Place): void {
    this.#asked.delete(asking);
    const { filter, lowest } = asking;
    const key = keyOf(filter);
    this.#byFilter.delete(key);
    this.#byFilter.set(key, { filter, place: earlier(place, lowest) });
    if (this.#byFilter.size > FILTERS_MAX) this.#byFilter.delete(this.#byFilter.keys().next().value!);
  }

  unanswered(asking: Asking): void {
    this.#asked.delete(asking);
  }

  /** A task of this lane came to wait in the store, after `last`. */
  lower(lane: Lane, last: Place): void {
    for (const frontier of this.#byFilter.values()) {
      if (isAfter(frontier.place, last) && allows(frontier.filter, lane)) frontier.place = last;
    }
    for (const asking of this.#asked) {
      if (isAfter(asking.lowest, last) && allows(asking.filter, lane)) asking.lowest = last;
    }
  }

  /** Anything may have come to wait. */
  forget(): void {
    this.#byFilter.clear();
    for (const asking of this.#asked) asking.lowest = UNKNOWN;
  }
}

function allows(filter: ClaimFilter | null, lane: Lane): boolean {
  return filter === null || laneMatches(lane, filter);
}

function earlier(a: Place, b: Place): Place {
  return isAfter(a, b) ? b : a;
}

function keyOf(filter: ClaimFilter | null): string {
  return filter === null ? '' : JSON.stringify(filter);
}
