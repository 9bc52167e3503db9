import type { Clock } from '../clock.ts';
import { type Approvals, isAsking } from './approvals.ts';
import type { LeaseWatch } from './lease-watch.ts';
import { inSteps, STEP_TASKS_MAX } from './sweeper.ts';
import type { Task } from './task.ts';
import type { TaskRecord, TaskStore } from './task-store.ts';
import type { TaskAction } from './transitions.ts';

export const EXPIRE: TaskAction = { type: 'expire' };
const RING: TaskAction = { type: 'alarm', fence: null };

export interface SweepOptions {
  readonly store: TaskStore;
  readonly clock: Clock;
  readonly approvals: Approvals;
  readonly leases: LeaseWatch;
  readonly retentionMs: number;
  readonly act: (id: string, action: TaskAction, known: TaskRecord) => Promise<Task>;
  /** After the leases that were over: looks at the own ones. */
  readonly checkHeld: (now: number) => Promise<void>;
  /** Judges what was left unjudged. */
  readonly judge: () => Promise<void>;
  readonly purge: (endedBefore: number) => Promise<number>;
  readonly onError: (error: unknown) => void;
}

/** What nobody does unless it is looked for: ends leases that are over, rings alarms, opens approvals, purges. */
export class Sweep {
  readonly #options: SweepOptions;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** What matters most comes first: where the last fails, the others are done. Returns when to look again. */
  async run(): Promise<number | null> {
    const { store, clock, approvals, retentionMs, checkHeld, judge, purge } = this.#options;
    const now = clock.now();
    const found = await store.outlook(now);
    const [, rung] = await Promise.all([
      found.hasExpired ? inSteps(() => this.#endLeases(now)) : 0,
      found.hasAlarmed ? this.#ring(now) : 0,
    ]);
    // What has ended or was released just now may have left something to judge or to ask.
    const isMoved = found.hasExpired || found.hasAlarmed;
    await Promise.all([
      checkHeld(now),
      found.hasUnjudged || isMoved ? judge() : null,
      found.hasPending || isMoved ? approvals.open() : null,
    ]);
    if (Number.isFinite(retentionMs)) await inSteps(() => purge(now - retentionMs));
    return isMoved ? this.#nextDueAt(rung) : found.nextDueAt;
  }

  /** Does what the clocks of waiting tasks say. Returns when to look again. */
  async ring(): Promise<number | null> {
    const { store, clock, approvals } = this.#options;
    const now = clock.now();
    const found = await store.outlook(now);
    const rung = found.hasAlarmed ? await this.#ring(now) : 0;
    await approvals.openExpected();
    return found.hasAlarmed ? this.#nextDueAt(rung) : found.nextDueAt;
  }

  /** What has fallen due while others were dealt with is due now; what nobody can deal with is left to the sweeps. */
  async #nextDueAt(rung: number): Promise<number | null> {
    const { store, clock } = this.#options;
    const now = clock.now();
    const { hasAlarmed, nextDueAt } = await store.outlook(now);
    return hasAlarmed && rung > 0 ? now : nextDueAt;
  }

  /** Returns how many were dealt with. */
  #ring(now: number): Promise<number> {
    const { store, approvals, act } = this.#options;
    return inSteps(async () =>
      this.#each(await store.alarmed(now, STEP_TASKS_MAX), (record) =>
        isAsking(record) ? approvals.ring(record) : act(record.id, RING, record),
      ),
    );
  }

  async #endLeases(now: number): Promise<number> {
    const { store, leases, act } = this.#options;
    const records = leases.over(await store.expired(now, STEP_TASKS_MAX));
    return this.#each(records, (record) => act(record.id, EXPIRE, record));
  }

  /** Returns how many were dealt with; those that were left as they are would be found again at once. */
  async #each(records: readonly TaskRecord[], deal: (record: TaskRecord) => Promise<Task>): Promise<number> {
    let dealt = 0;
    // Together they share a commit, or a round trip.
    const deals = records.map(async (record) => {
      if ((await deal(record)).version !== record.version) dealt += 1;
    });
    await Promise.all(deals.map((each) => each.catch((error: unknown) => this.#options.onError(error))));
    return dealt;
  }
}
