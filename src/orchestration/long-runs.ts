import type { TaskQueue } from '../queue/task-queue.ts';
import type { HeldTask } from './held-task.ts';
import type { Prefetch } from './prefetch.ts';

/** Runs longer than this get their agent recorded while they run, ms; others with their end. */
const RECORD_ASSIGNMENT_AFTER_MS = 100;
/** How often it is looked whether tasks claimed ahead wait behind a long run, ms. */
const LOOK_AT_QUEUED_MS = 50;

export interface LongRunsOptions {
  readonly queue: TaskQueue;
  readonly prefetch: Prefetch;
  readonly held: () => Iterable<HeldTask>;
  /** The tasks claimed ahead are to be handed back. */
  readonly handBack: (queued: readonly HeldTask[]) => void;
}

/** What is done about runs while they last. One timer, which stops by itself where nothing is held. */
export class LongRuns {
  readonly #options: LongRunsOptions;
  #timer: unknown;

  constructor(options: LongRunsOptions) {
    this.#options = options;
  }

  watch(): void {
    this.#timer ??= this.#arm(false);
  }

  stop(): void {
    this.#options.queue.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(isQueuing: boolean): unknown {
    const { queue, prefetch } = this.#options;
    const ms = isQueuing || prefetch.tasks > 0 ? LOOK_AT_QUEUED_MS : RECORD_ASSIGNMENT_AFTER_MS;
    return queue.clock.setTimeout(this.#look, ms);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const { queue, prefetch, held, handBack } = this.#options;
    const now = queue.clock.now();
    const queued: HeldTask[] = [];
    let longestRunMs = 0;
    let longestWaitMs = 0;
    let isHolding = false;
    for (const one of held()) {
      isHolding ||= one.phase !== 'settling';
      if (one.phase === 'running') {
        longestRunMs = Math.max(longestRunMs, now - one.startedAt);
        if (now - one.startedAt >= RECORD_ASSIGNMENT_AFTER_MS) this.#record(one);
      } else if (one.phase === 'queued') {
        longestWaitMs = Math.max(longestWaitMs, now - one.claimedAt);
        queued.push(one);
      }
    }
    if (queued.length > 0 && prefetch.isTooLong(longestRunMs, longestWaitMs)) {
      prefetch.reset();
      handBack(queued);
    }
    if (isHolding) this.#timer ??= this.#arm(queued.length > 0);
  };

  /** The end records it again; until then it is only missing from the view. A refusal is tried again at the next look. */
  #record(held: HeldTask): void {
    if (held.isRecorded || held.isRecording) return;
    held.isRecording = true;
    this.#options.queue.assign(held.task, held.assignment).then(
      () => {
        held.isRecorded = true;
        held.isRecording = false;
      },
      () => {
        held.isRecording = false;
      },
    );
  }
}
