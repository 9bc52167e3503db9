import type { Clock } from '../clock.ts';
import { backoffMs, DEFAULT_RETRY } from '../queue/retry.ts';
import type { Task } from '../queue/task.ts';
import { LATE_MS } from './recorded-moments.ts';
import type { RecordedTask } from './recorded-runs.ts';
import { TIE_MS } from './replayed-coordinator.ts';

/** From when what goes back to the queue may run again, as history has it. */
export class RecordedDues {
  readonly #tasks: ReadonlyMap<string, RecordedTask>;
  readonly #clock: Clock;
  readonly #isAsItWas: boolean;

  constructor(tasks: ReadonlyMap<string, RecordedTask>, clock: Clock, isAsItWas: boolean) {
    this.#tasks = tasks;
    this.#clock = clock;
    this.#isAsItWas = isAsItWas;
  }

  /** As long as it was, jitter included; else as the default has it, without. */
  backoffMs({ id, attempt, retryCount }: Task): number {
    const { runs = [] } = this.#tasks.get(id) ?? {};
    const run = runs[attempt - 1];
    if (run?.againAt !== undefined && this.#isAsItWas) {
      const dueAt = Math.min(runs[attempt]?.dueAt ?? Infinity, run.againAt);
      return Math.max(1, dueAt - this.#clock.now());
    }
    if (run?.againAt !== undefined) {
      // Who was taken as soon as a slot was free had stood in line by then; what was handed back since is due anew.
      const dueAt = Math.min(runs[attempt]?.dueAt ?? Infinity, run.againAt - 1);
      return Math.max(0, dueAt - (run.from + run.ms));
    }
    return backoffMs(retryCount + 1, { ...DEFAULT_RETRY, jitter: false }, () => 1);
  }

  /** Of what is handed back until `runAt`. What was taken at once when it was due was due when it was taken. */
  dueAt({ id }: Task, runAt: number): number {
    if (!this.#isAsItWas) return runAt;
    const now = this.#clock.now();
    const { claims = [] } = this.#tasks.get(id) ?? {};
    const claim = claims.findLast(({ at }) => at <= now);
    // What was handed back a ms later than here was due a ms later.
    const late = Math.abs((claim?.at ?? 0) - now) <= TIE_MS ? (claim?.endedAt ?? now) - now : 0;
    const again = claims.find(({ at }) => at > now)?.at;
    const dueAt = runAt + (late <= LATE_MS ? late : 0);
    return again !== undefined && Math.abs(again - dueAt) <= LATE_MS ? again : dueAt;
  }
}
