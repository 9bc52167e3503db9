import type { Clock } from '../clock.ts';
import type { TaskRecord } from './task-store.ts';

interface Sighting {
  readonly version: number;
  /** By `Clock.elapsed`. */
  readonly since: number;
}

/**
 * Which leases are over. The time of day tells, as long as it goes on as it should. Once it was set to another one
 * (or the machine slept), every lease of a worker that is well may look as if it had been over for an hour: from
 * then on one is over when it was seen so, and not renewed, for as long as a lease lasts.
 */
export class LeaseWatch {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #startedAt: number;
  #seen = new Map<string, Sighting>();

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#startedAt = this.#offset();
  }

  /** Of records whose leases are over by the time of day, those that are. */
  over(records: readonly TaskRecord[]): readonly TaskRecord[] {
    if (!this.#hasJumped()) return records;
    const now = this.#elapsed();
    const before = this.#seen;
    this.#seen = new Map(
      records.map(({ id, version }) => {
        const sighting = before.get(id);
        return [id, sighting?.version === version ? sighting : { version, since: now }];
      }),
    );
    return records.filter(({ id }) => now - this.#seen.get(id)!.since >= this.#leaseMs);
  }

  /** A smaller jump ends no lease that is renewed as it should be. */
  #hasJumped(): boolean {
    return Math.abs(this.#offset() - this.#startedAt) > this.#leaseMs / 4;
  }

  #offset(): number {
    return this.#clock.now() - this.#elapsed();
  }

  #elapsed(): number {
    return this.#clock.elapsed?.() ?? this.#clock.now();
  }
}
