import { StoreUnavailableError, TaskNotFoundError } from '../errors.ts';
import { copyJson } from '../json.ts';
import type { AnalyticsLog } from './analytics-log.ts';
import { APPROVAL_TYPE } from './approval.ts';
import type { Approvals } from './approvals.ts';
import type { Conditions } from './conditions.ts';
import { assignmentDetails } from './details.ts';
import type { HeldTasks } from './held-tasks.ts';
import type { Observers } from './observers.ts';
import { isQuiet, type Propagation } from './propagation.ts';
import type { ResolvedOptions } from './queue-options.ts';
import { EXPIRE } from './sweep.ts';
import type { NewTask, Task } from './task.ts';
import { TaskContext } from './task-context.ts';
import type { LogPage } from './task-log.ts';
import type { Change, TaskRecord, TaskStore } from './task-store.ts';
import { type KnownTexts, readSubmission } from './task-view.ts';
import { decide, type Note, type TaskAction } from './transitions.ts';

/** A compare-and-set that loses this often in a row meets a broken store, not other writers. */
const APPLY_ROUNDS_MAX = 100;

/** Chooses an action by where the task stands. */
export type ActionChoice = (record: TaskRecord) => {
  readonly action: TaskAction;
  readonly note: Note | undefined;
};

interface WriterParts {
  readonly store: TaskStore;
  readonly options: ResolvedOptions;
  readonly held: HeldTasks;
  readonly conditions: Conditions;
  readonly observers: Observers;
  readonly approvals: Approvals;
  readonly log: AnalyticsLog;
  readonly propagation: Propagation;
  readonly setAlarm: (at: number) => void;
  readonly use: () => void;
  readonly view: (record: TaskRecord, submission?: NewTask) => Task;
}

/** Every change of a task after its submission: decided by the transition table, written by compare-and-set, and told. */
export class TaskWriter {
  readonly #parts: WriterParts;

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /**
   * Decides and writes until nobody wrote in between. What a remembered record refuses, or says was done
   * already, is checked against a fresh one before it is believed.
   */
  async act(
    id: string,
    wanted: TaskAction | ActionChoice,
    known?: TaskRecord,
    pages?: readonly LogPage[],
  ): Promise<Task> {
    const { store, options, held, observers, approvals, log, propagation, setAlarm, view, use } = this.#parts;
    use();
    const holding = held.get(id);
    let remembered = known ?? holding?.record;
    for (let round = 0; round < APPLY_ROUNDS_MAX; round++) {
      const isFresh = remembered === undefined;
      const record: TaskRecord = remembered ?? (await this.load(id));
      remembered = undefined;
      const submission = holding?.submission ?? readSubmission(record);
      const now = options.clock.now();
      const decided = this.#decide(record, wanted, submission, isFresh, now);
      const change =
        pages && decided !== null && decided !== 'refused' ? { ...decided, log: pages } : decided;
      if (change === 'refused' || (change === null && !isFresh)) continue;
      if (change === null) return await this.#cancelledWhole(view(record, submission));
      const applied = (await store.apply([change], now))[0];
      if (!applied) continue;
      const task = held.take(applied.record, submission, knownFrom(wanted, record, change));
      if (applied.record.alarmAt !== null) setAlarm(applied.record.alarmAt);
      if (holding && task.status === 'cancelled') observers.loseLease(holding.record, 'cancelled');
      if (holding && wanted === EXPIRE) observers.loseLease(holding.record, 'taken over');
      log.changed(record, applied.record, task, now);
      observers.announce(change, applied.record, task);
      if (applied.record.quota) observers.freed(applied.record, change);
      if (!isQuiet(applied.effects)) await propagation.follow(applied.effects, id);
      if (applied.record.agentType === APPROVAL_TYPE) {
        await approvals.moved(applied.record);
        // Who runs until nothing is left may have taken it for something that is.
        if (applied.record.status === 'waiting') observers.emit('available', undefined);
      }
      return task.status === 'cancelled' ? await this.#cancelledWhole(task) : task;
    }
    throw new StoreUnavailableError(
      `task ${id} was changed ${APPLY_ROUNDS_MAX} times while being written; try again`,
    );
  }

  /** @throws TaskNotFoundError */
  async load(id: string): Promise<TaskRecord> {
    const [record] = await this.#parts.store.get([id]);
    if (!record) throw new TaskNotFoundError(id);
    return record;
  }

  /** The children of a cancelled task are cancelled with it; done again with each call, since the first may be cut off. */
  async #cancelledWhole(task: Task): Promise<Task> {
    if (task.status !== 'cancelled' || task.children === undefined) return task;
    const cancel: TaskAction = { type: 'cancel', reason: `its parent ${task.id} was cancelled` };
    await Promise.all(
      task.children.map((id) =>
        this.act(id, cancel).catch((error: unknown) => {
          if (!(error instanceof TaskNotFoundError)) throw error;
        }),
      ),
    );
    return task;
  }

  #decide(
    record: TaskRecord,
    wanted: TaskAction | ActionChoice,
    submission: NewTask,
    isFresh: boolean,
    now: number,
  ): Change | null | 'refused' {
    try {
      const { action, note } = typeof wanted === 'function' ? wanted(record) : { action: wanted };
      const accepted = submission.validate ? this.#accept(action, record, submission) : action;
      return decide(record, accepted, new TaskContext(record, submission, this.#parts.options, now), note);
    } catch (error) {
      if (isFresh) throw error;
      return 'refused';
    }
  }

  #accept(action: TaskAction, record: TaskRecord, submission: NewTask): TaskAction {
    const { validate } = submission;
    if (!validate || action.type !== 'settle' || action.ending.status !== 'completed') return action;
    const view = () => this.#parts.view(record, submission);
    return { ...action, ending: this.#parts.conditions.accept(action.ending, validate, view) };
  }
}

/** The result with which a worker ends a task, and who ran it where nothing else is known of the task. */
function knownFrom(
  wanted: TaskAction | ActionChoice,
  before: TaskRecord,
  { next }: Change,
): KnownTexts | undefined {
  if (typeof wanted === 'function' || wanted.type !== 'settle') return undefined;
  const { ending, assignment } = wanted;
  if (ending.status !== 'completed') return undefined;
  if (assignment === undefined || before.details !== null) return ending;
  const shown = copyJson(assignmentDetails(assignment));
  return { result: ending.result, value: ending.value, details: next.details, shown };
}
