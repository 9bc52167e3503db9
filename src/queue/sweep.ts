import type { Clock } from '../clock.ts';
import { type Approvals, isAsking } from './approvals.ts';
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
  readonly retentionMs: number;
  readonly act: (id: string, action: TaskAction, known: TaskRecord) => Promise<Task>;
  /** After the leases that were over: looks at the own ones, and judges what was left unjudged. */
  readonly lookAround: (now: number) => Promise<void>;
  readonly purge: (endedBefore: number) => Promise<number>;
  readonly onError: (error: unknown) => void;
}

/** What nobody does unless it is looked for: ends leases that are over, rings alarms, opens approvals, purges. */
export class Sweep {
  readonly #options: SweepOptions;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** What matters most comes first: where the last fails, the others are done. */
  async run(): Promise<void> {
    const { clock, approvals, retentionMs, lookAround, purge } = this.#options;
    const now = clock.now();
    await Promise.all([inSteps(() => this.#endLeases(now)), this.ring()]);
    await Promise.all([lookAround(now), approvals.open()]);
    if (Number.isFinite(retentionMs)) await inSteps(() => purge(now - retentionMs));
  }

  /** Does what the clocks of waiting tasks say. */
  async ring(): Promise<void> {
    const { store, clock, approvals, act } = this.#options;
    const now = clock.now();
    await inSteps(async () =>
      this.#each(await store.alarmed(now, STEP_TASKS_MAX), (record) =>
        isAsking(record) ? approvals.ring(record) : act(record.id, RING, record),
      ),
    );
  }

  async #endLeases(now: number): Promise<number> {
    const { store, act } = this.#options;
    return this.#each(await store.expired(now, STEP_TASKS_MAX), (record) => act(record.id, EXPIRE, record));
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
