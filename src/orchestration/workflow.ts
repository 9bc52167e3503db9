import {
  DependencyCycleError,
  InvalidOptionError,
  InvalidTaskError,
  TooLargeError,
  UnknownDependencyError,
} from '../errors.ts';
import { requireOptions } from '../options.ts';
import { BATCH_TASKS_MAX } from '../queue/bounds.ts';
import { edgeOn, findCycle } from '../queue/dependencies.ts';
import { describe } from '../queue/description.ts';
import type { Approval, DependencyCondition, NewTask, Where } from '../queue/task.ts';
import { mermaidOf, type WorkflowGraph } from './workflow-graph.ts';

/** A task of the same workflow that must end first. With `where`: completed, and its result fits. */
export type WorkflowDependency<Ref extends string = string> =
  | {
      readonly ref: Ref;
      /** @default 'success' */
      readonly on?: DependencyCondition | undefined;
      readonly where?: undefined;
    }
  | { readonly ref: Ref; readonly where: Where; readonly on?: undefined };

type Dependencies<Ref extends string> = readonly (Ref | WorkflowDependency<Ref>)[];

/** Everything a task may say, with refs in place of ids. */
export interface WorkflowStep<Ref extends string = string>
  extends Omit<NewTask, 'id' | 'payload' | 'dependsOn' | 'approval'> {
  /** Goes to the graph's channels of the same names, above the workflow's own input. */
  readonly input?: object | undefined;
  readonly dependsOn?: Dependencies<Ref> | undefined;
}

/** A goal that an agent reaches, or an approval that a person gives. */
export type WorkflowTask<Ref extends string = string> = WorkflowStep<Ref> &
  (
    | { readonly goal: string; readonly approval?: undefined }
    | { readonly goal?: string | undefined; readonly approval: Approval }
  );

/** A task with its dependencies in one form. */
export interface PlannedTask extends Omit<WorkflowStep, 'dependsOn'> {
  readonly ref: string;
  readonly goal?: string | undefined;
  readonly approval?: Approval | undefined;
  readonly dependsOn: readonly WorkflowDependency[];
}

const WORKFLOW_NAME = /^[A-Za-z0-9_.-]{1,64}$/;
/** Beside an id of the workflow (64) and a generation they are an id of a task, which has 128 characters. */
const REF = /^[A-Za-z0-9_.-]{1,58}$/;

/**
 * A plan of tasks that depend on one another; `conductor.submit` makes it durable as a whole. What a task waits
 * for is named by ref, and its run gets the results of those by ref: sequences, branches (`where`, `on`), merges
 * and workflows within workflows are all edges between flat tasks.
 *
 * The type knows the refs added so far; `new Workflow<string>(name)` takes any, in any order.
 */
export class Workflow<Ref extends string = never> {
  readonly name: string;
  readonly #tasks = new Map<string, PlannedTask>();

  /** @throws InvalidOptionError for a name that is none. */
  constructor(name: string) {
    if (typeof name !== 'string' || !WORKFLOW_NAME.test(name))
      throw new InvalidOptionError('name', `a name like ${WORKFLOW_NAME.source}`, name);
    this.name = name;
  }

  /** @throws InvalidTaskError for a ref that is there already, or none. */
  add<New extends string>(ref: New, task: WorkflowTask<Ref>): Workflow<Ref | New> {
    if (typeof task !== 'object' || task === null)
      throw new InvalidTaskError(this.#at, 'expected a task with a goal');
    const { dependsOn, ...rest } = task;
    this.#place({ ...rest, ref, dependsOn: planned(dependsOn, this.#at) });
    return this as unknown as Workflow<Ref | New>;
  }

  /**
   * Adds the tasks of another workflow, as they are now, as `<prefix>.<ref>`. It begins when `dependsOn` holds,
   * and is skipped as a whole where that can no longer be.
   */
  addWorkflow<Prefix extends string, Inner extends string>(
    prefix: Prefix,
    workflow: Workflow<Inner>,
    options: { readonly dependsOn?: Dependencies<Ref> | undefined } = {},
  ): Workflow<Ref | `${Prefix}.${Inner}`> {
    const { dependsOn } = requireOptions(options, 'an object');
    if (typeof workflow?.tasks !== 'function')
      throw new InvalidOptionError('workflow', 'a Workflow', workflow);
    if (typeof prefix !== 'string' || !REF.test(prefix))
      throw new InvalidTaskError(
        `${this.#at}.ref`,
        `expected a prefix like ${REF.source}, got ${describe(prefix)}`,
      );
    const before = planned(dependsOn, this.#at);
    for (const task of workflow.tasks()) {
      const inside = task.dependsOn.map((edge) => ({ ...edge, ref: `${prefix}.${edge.ref}` }));
      // Every other task is skipped with one of these: only `completion` outlives what is skipped.
      const isFirst = inside.every(({ on }) => on === 'completion');
      if (isFirst && before.length > 0 && inside.length > 0 && task.join === 'any')
        throw new InvalidTaskError(
          `${this.#at}.dependsOn`,
          `task ${task.ref} of the inner workflow may begin with any of its own; let a first task of it wait`,
        );
      this.#place({
        ...task,
        ref: `${prefix}.${task.ref}`,
        dependsOn: isFirst ? [...before, ...inside] : inside,
      });
    }
    return this as unknown as Workflow<Ref | `${Prefix}.${Inner}`>;
  }

  /** In the order added. */
  tasks(): PlannedTask[] {
    return [...this.#tasks.values()];
  }

  /**
   * Refuses what cannot run as a whole; `submit` does it first.
   *
   * @throws UnknownDependencyError, DependencyCycleError (with refs), TooLargeError, InvalidTaskError; the path is
   * that of the task in the order added, e.g. `tasks[3].dependsOn[0]`.
   */
  check(): void {
    const tasks = this.tasks();
    if (tasks.length === 0) throw new InvalidTaskError('tasks', 'expected at least one task');
    if (tasks.length > BATCH_TASKS_MAX)
      throw new TooLargeError('tasks', 'BATCH_TASKS_MAX', BATCH_TASKS_MAX, tasks.length, 'tasks');
    tasks.forEach(({ dependsOn }, i) => {
      const unknown = dependsOn.findIndex(({ ref }) => !this.#tasks.has(ref));
      if (unknown >= 0)
        throw new UnknownDependencyError(`tasks[${i}].dependsOn[${unknown}]`, dependsOn[unknown]!.ref);
    });
    const linked = tasks.map(({ ref, dependsOn }) => ({
      id: ref,
      dependsOn: dependsOn.map((edge) => ({ dependencyId: edge.ref })),
    }));
    const cycle = findCycle(linked);
    if (!cycle) return;
    const at = tasks.findIndex(({ ref }) => ref === cycle[0]);
    throw new DependencyCycleError(`tasks[${at}].dependsOn[${edgeOn(linked, cycle)}]`, cycle);
  }

  /** The plan without its goals and inputs, as JSON. */
  toJSON(): WorkflowGraph {
    return { name: this.name, tasks: this.tasks().map(graphTask) };
  }

  /** The plan as a Mermaid flowchart. */
  toMermaid(): string {
    return mermaidOf(this.toJSON());
  }

  get #at(): string {
    return `tasks[${this.#tasks.size}]`;
  }

  #place(task: PlannedTask): void {
    if (typeof task.ref !== 'string' || !REF.test(task.ref))
      throw new InvalidTaskError(
        `${this.#at}.ref`,
        `expected a name like ${REF.source}, got ${describe(task.ref)}`,
      );
    if (this.#tasks.has(task.ref))
      throw new InvalidTaskError(`${this.#at}.ref`, `there is a task ${task.ref} already`);
    this.#tasks.set(task.ref, task);
  }
}

/** What a drawing shows of a task before it runs. */
export function graphTask({ ref, agent, agentType, approval, dependsOn, join }: Omit<PlannedTask, 'goal'>) {
  return {
    ref,
    ...(approval !== undefined && { approval: true as const }),
    ...(agent !== undefined && { agent }),
    ...(agentType !== undefined && { agentType }),
    dependsOn,
    ...(join === 'any' && { join }),
  };
}

function planned(dependsOn: Dependencies<string> | undefined, at: string): WorkflowDependency[] {
  if (dependsOn !== undefined && !Array.isArray(dependsOn))
    throw new InvalidTaskError(`${at}.dependsOn`, 'expected a list of refs');
  return (dependsOn ?? []).map((edge, i) => {
    if (typeof edge === 'string') return { ref: edge };
    if (typeof edge === 'object' && edge !== null && typeof edge.ref === 'string') return edge;
    throw new InvalidTaskError(
      `${at}.dependsOn[${i}]`,
      'expected a ref, { ref, on } or { ref, where } of this workflow',
    );
  });
}
