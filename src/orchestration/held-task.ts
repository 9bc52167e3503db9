import { InvalidOptionError } from '../errors.ts';
import type { Task } from '../queue/task.ts';
import type { Assignment } from '../queue/task-queue.ts';
import type { Agent } from './agent.ts';
import { RunControl } from './graph.ts';
import { RunBody } from './run-body.ts';
import type { RunLog } from './run-log.ts';

/** A task this process holds: claimed, running, or on its way to be settled. */
export class HeldTask {
  /** As last seen in the store: its lease is extended by heartbeats. */
  task: Task;
  readonly agent: Agent;
  readonly assignment: Assignment;
  readonly control = new RunControl();
  readonly body = new RunBody();
  /** In the list of those who hold it. */
  place = -1;
  /** `queued`: claimed, its slot is still busy. */
  phase: 'queued' | 'running' | 'settling' = 'queued';
  /** Whether the assignment has been written to the store. */
  isRecorded = false;
  isRecording = false;
  /** ms since the epoch */
  readonly claimedAt: number;
  startedAt = 0;
  /** Of the coordinator, with which it counted the run as ended. */
  endedTurn: number | undefined;
  #spent: Record<string, number> | undefined;
  /** Called with each sign of life of the run, where somebody watches for them. */
  onAlive: (() => void) | undefined;
  /** What its run does, once it has begun. */
  log: RunLog | undefined;
  #abortReason: Error | undefined;
  #controller: AbortController | undefined;
  #onAbort: ((reason: Error) => void) | undefined;

  constructor(task: Task, agent: Agent, assignment: Assignment, claimedAt: number) {
    this.claimedAt = claimedAt;
    this.task = task;
    this.agent = agent;
    this.assignment = assignment;
  }

  get fence(): number {
    return this.task.lease?.fence ?? 0;
  }

  /** Made when somebody asks for it: an AbortController costs more than all the rest of a short run. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Why the run was aborted, undefined where it was not. */
  get abortReason(): Error | undefined {
    return this.#abortReason;
  }

  /** What the run says it weighs, by key of a limit; undefined where it says nothing. */
  get spent(): Readonly<Record<string, number>> | undefined {
    return this.#spent;
  }

  readonly spend = (key: string, weight: number): void => {
    if (!Number.isSafeInteger(weight) || weight < 0)
      throw new InvalidOptionError('weight', 'a whole number from 0', weight);
    this.#spent ??= {};
    this.#spent[key] = (this.#spent[key] ?? 0) + weight;
  };

  /** Ends the run, wherever it is; the reason decides what becomes of the task. Not while it is being settled. */
  abort(reason: Error): void {
    if (this.phase === 'settling' || this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
    this.#onAbort?.(reason);
  }

  /**
   * The end of `work`, or the reason of the abort as soon as there is one: code that ignores its signal runs
   * on as a zombie, but holds nothing up, and its late end is nobody's unhandled rejection.
   */
  untilAborted<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#onAbort = reject;
      work.then(resolve, reject);
      if (this.#abortReason !== undefined) reject(this.#abortReason);
    });
  }
}
