import { TimeoutError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { requireOptions } from '../options.ts';
import { Batch, type BatchWaitOptions, readTasks } from '../queue/batch.ts';
import { isEnded, type Task, type TaskError, type TaskInterrupt, type TaskStatus } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { graphTask } from './workflow.ts';
import {
  type DefinedTask,
  noteGenerations,
  readGenerations,
  type WorkflowDefinition,
} from './workflow-definition.ts';
import { mermaidOf, type WorkflowGraph, type WorkflowState } from './workflow-graph.ts';
import { taskIdOf } from './workflow-membership.ts';
import { type LiveTask, planRevival } from './workflow-revival.ts';

export interface WorkflowTaskStatus {
  readonly id: string;
  readonly status: TaskStatus | 'purged';
  /** Refs of the dependencies that are still undecided. */
  readonly blockedBy: readonly string[];
  readonly attempt?: number;
  /** ms since the epoch */
  readonly startedAt?: number;
  readonly completedAt?: number;
  readonly error?: TaskError;
  /** The open questions. */
  readonly interrupts?: readonly TaskInterrupt[];
}

export interface WorkflowStatus<Ref extends string = string> {
  readonly id: string;
  readonly name: string;
  readonly status: WorkflowState;
  readonly tasks: Readonly<Record<Ref, WorkflowTaskStatus>>;
}

/** A submitted workflow, in this process or another: it holds nothing but the plan, and reads how it stands. */
export class WorkflowRun<Ref extends string = string> {
  readonly id: string;
  readonly name: string;
  readonly #definition: WorkflowDefinition;
  readonly #queue: TaskQueue;

  constructor(id: string, definition: WorkflowDefinition, queue: TaskQueue) {
    this.id = id;
    this.name = definition.name;
    this.#definition = definition;
    this.#queue = queue;
  }

  async status(): Promise<WorkflowStatus<Ref>> {
    const live = await this.#live();
    const tasks = Object.fromEntries(live.map((one) => [one.defined.ref, shown(one, this.id)]));
    return {
      id: this.id,
      name: this.name,
      status: stateOf(live),
      tasks: tasks as Record<Ref, WorkflowTaskStatus>,
    };
  }

  /** The results of the tasks that have completed, by ref. */
  async results(): Promise<Partial<Record<Ref, JsonValue>>> {
    const completed = (await this.#live()).filter(({ task }) => task?.status === 'completed');
    const results = completed.map(({ defined, task }) => [defined.ref, task?.result ?? null]);
    return Object.fromEntries(results) as Partial<Record<Ref, JsonValue>>;
  }

  /** Until all of it has ended, in whatever way. Rejects with TimeoutError or the signal's reason. */
  async wait(options: BatchWaitOptions = {}): Promise<WorkflowStatus<Ref>> {
    const { signal, timeoutMs = Infinity } = requireOptions(options, 'an object');
    const { clock } = this.#queue;
    const deadline = clock.now() + timeoutMs;
    for (;;) {
      const open = (await this.#live()).filter(isOpen).map(({ id }) => id);
      if (open.length === 0) return this.status();
      const leftMs = deadline - clock.now();
      if (leftMs <= 0) throw new TimeoutError(`workflow ${this.id} did not end within ${timeoutMs} ms`);
      await this.#batch(open)
        .waitAll({ signal, timeoutMs: leftMs })
        .catch((error: unknown) => {
          // Purged before it was looked at: it had ended.
          if ((error as { code?: unknown } | null)?.code !== 'TASK_NOT_FOUND') throw error;
        });
    }
  }

  /**
   * Cancels what has not ended, last things first, so that nothing is released or skipped by it: what was to
   * run after a failure, or always, does not run either.
   */
  async cancel(reason?: string): Promise<WorkflowStatus<Ref>> {
    for (const level of levelsOf(await this.#live()).reverse()) {
      await Promise.all(level.filter(isOpen).map(({ id }) => this.#queue.cancel(id, reason)));
    }
    return this.status();
  }

  /**
   * Runs again what failed, and what depends on it. Failed tasks get a new life under their own ids, from their last
   * checkpoint; those that depend on something that runs again wait for it again, and are submitted anew for that, as
   * `<id>:<ref>:2` and so on: what was skipped, and what ran since it failed, or in any case. All else is left as it is:
   * what has completed, branches that were not taken, what was cancelled. Calling it again goes on with a retry that
   * was cut off.
   *
   * @throws JottyError with code WORKFLOW_PURGED where it would need the result of a task that was purged.
   */
  async retry(): Promise<WorkflowStatus<Ref>> {
    const { redrive, resubmit, generations } = planRevival(this.id, levelsOf(await this.#live()).flat());
    await noteGenerations(this.#queue, this.id, generations);
    await Promise.all(redrive.map((id) => this.#redrive(id)));
    if (resubmit.length > 0) await this.#queue.enqueueMany(resubmit);
    return this.status();
  }

  /** The plan with how its tasks stand, as JSON. */
  async toJSON(): Promise<WorkflowGraph> {
    const live = await this.#live();
    const tasks = live.map(({ defined, id, task }) => ({
      ...graphTask(defined),
      id,
      status: task?.status ?? ('purged' as const),
    }));
    return { name: this.name, id: this.id, status: stateOf(live), tasks };
  }

  /** The plan with how its tasks stand, as a Mermaid flowchart. */
  async toMermaid(): Promise<string> {
    return mermaidOf(await this.toJSON());
  }

  /** Somebody else may have been faster; their retry is ours. */
  async #redrive(id: string): Promise<void> {
    try {
      await this.#queue.retry(id);
    } catch (error) {
      const task = await this.#queue.getTask(id);
      if (task === null || task.status === 'failed') throw error;
    }
  }

  #batch(ids: readonly string[]): Batch {
    return new Batch(ids, this.#queue);
  }

  /** The latest generation of each task, in the order of the plan. Earlier ones had ended, and may be purged. */
  async #live(): Promise<LiveTask[]> {
    const generations = await readGenerations(this.#queue, this.id);
    let live = await this.#read(this.#definition.tasks.map((defined) => ({ defined, generation: 1 })));
    for (let generation = 2; generation <= generations; generation++) {
      const ended = live.filter(({ task }) => task === null || isEnded(task.status));
      const next = await this.#read(ended.map(({ defined }) => ({ defined, generation })));
      const found = new Map(next.filter(({ task }) => task !== null).map((one) => [one.defined.ref, one]));
      live = live.map((one) => found.get(one.defined.ref) ?? one);
    }
    return live;
  }

  async #read(wanted: readonly Pick<LiveTask, 'defined' | 'generation'>[]): Promise<LiveTask[]> {
    const ids = wanted.map(({ defined, generation }) => taskIdOf(this.id, defined.ref, generation));
    const tasks = await readTasks(this.#queue, ids);
    return wanted.map((one, i) => ({ ...one, id: ids[i]!, task: tasks[i] ?? null }));
  }
}

function isOpen({ task }: LiveTask): boolean {
  return task !== null && !isEnded(task.status);
}

function stateOf(live: readonly LiveTask[]): WorkflowState {
  const open = live.flatMap(({ task }) => (task !== null && !isEnded(task.status) ? [task] : []));
  if (open.length > 0) return isWaiting(open) ? 'waiting' : 'running';
  const has = (status: TaskStatus) => live.some(({ task }) => task?.status === status);
  return has('failed') ? 'failed' : has('cancelled') ? 'cancelled' : 'completed';
}

function isWaiting(open: readonly Task[]): boolean {
  const isStuck = ({ status, blockedBy }: Task) => status === 'waiting' || blockedBy.length > 0;
  return open.every(isStuck) && open.some(({ status }) => status === 'waiting');
}

function shown({ id, task }: LiveTask, workflowId: string): WorkflowTaskStatus {
  if (task === null) return { id, status: 'purged', blockedBy: [] };
  const { status, attempt, startedAt, completedAt, error, interrupts } = task;
  const blockedBy = task.blockedBy.map((blocker) => blocker.slice(workflowId.length + 1).split(':')[0] ?? '');
  return {
    id,
    status,
    blockedBy,
    attempt,
    ...(startedAt !== undefined && { startedAt }),
    ...(completedAt !== undefined && { completedAt }),
    ...(error !== undefined && { error }),
    ...(interrupts !== undefined && { interrupts }),
  };
}

/** First what depends on nothing, then what depends on that alone, and so on. */
function levelsOf(live: readonly LiveTask[]): LiveTask[][] {
  const depths = depthsOf(live.map(({ defined }) => defined));
  const levels: LiveTask[][] = [];
  for (const one of live) {
    const depth = depths.get(one.defined.ref) ?? 0;
    levels[depth] ??= [];
    levels[depth].push(one);
  }
  return levels;
}

function depthsOf(tasks: readonly DefinedTask[]): ReadonlyMap<string, number> {
  const depths = new Map<string, number>();
  const dependents = new Map<string, string[]>(tasks.map(({ ref }) => [ref, []]));
  const open = new Map(tasks.map(({ ref, dependsOn }) => [ref, dependsOn.length]));
  for (const { ref, dependsOn } of tasks) {
    for (const edge of dependsOn) dependents.get(edge.ref)?.push(ref);
  }
  let ready = tasks.filter(({ dependsOn }) => dependsOn.length === 0).map(({ ref }) => ref);
  for (let depth = 0; ready.length > 0; depth++) {
    const next: string[] = [];
    for (const ref of ready) {
      depths.set(ref, depth);
      for (const dependent of dependents.get(ref) ?? []) {
        const left = (open.get(dependent) ?? 0) - 1;
        open.set(dependent, left);
        if (left === 0) next.push(dependent);
      }
    }
    ready = next;
  }
  return depths;
}
