import { createHash } from 'node:crypto';
import { v7 as newWorkflowId } from 'uuid';
import { InvalidOptionError, InvalidTaskError, JottyError } from '../errors.ts';
import { requireOptions } from '../options.ts';
import { type Amounts, type Budget, budgetsIn, checkBudgets, keyOfWorkflow } from '../queue/budget.ts';
import type { NewTask } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { placed } from './goal.ts';
import type { PlannedTask, Workflow } from './workflow.ts';
import { readDefinition, type WorkflowDefinition, writeDefinition } from './workflow-definition.ts';
import { type StoredMembership, taskIdOf } from './workflow-membership.ts';
import { withId } from './workflow-revival.ts';
import { WorkflowRun } from './workflow-run.ts';

export interface SubmitOptions {
  /** Makes the submission idempotent. `[A-Za-z0-9_.-]`, 1–64 characters. @default a UUID v7 */
  readonly id?: string | undefined;
  /** Given to every task whose graph has channels of these names, below the task's own input. Plain JSON. */
  readonly input?: object | undefined;
  /** For every task, below its own. */
  readonly metadata?: object | undefined;
  /**
   * For every task: what has not ended then, ms since the epoch, ends as failed with code DEADLINE_EXCEEDED. A
   * task's own deadline counts where it is earlier.
   */
  readonly deadline?: number | undefined;
  /** What its tasks may spend together, with their children. */
  readonly budget?: Amounts | undefined;
}

const WORKFLOW_ID = /^[A-Za-z0-9_.-]{1,64}$/;

export interface WorkflowsOptions {
  readonly queue: () => TaskQueue;
  readonly toTask: (goal: string | undefined, options: object) => NewTask;
}

/** Submits workflows, and finds those that were. */
export class Workflows {
  readonly #options: WorkflowsOptions;

  constructor(options: WorkflowsOptions) {
    this.#options = options;
  }

  async submit<Ref extends string>(
    workflow: Workflow<Ref>,
    options: SubmitOptions,
  ): Promise<WorkflowRun<Ref>> {
    const { queue } = this.#options;
    if (typeof workflow?.check !== 'function')
      throw new InvalidOptionError('workflow', 'a Workflow', workflow);
    const { id = newWorkflowId(), input, metadata, deadline, budget } = requireOptions(options, 'an object');
    if (typeof id !== 'string' || !WORKFLOW_ID.test(id))
      throw new InvalidOptionError('id', `a name like ${WORKFLOW_ID.source}`, id);
    for (const [path, value] of Object.entries({ input, metadata })) {
      if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value)))
        throw new InvalidTaskError(path, 'expected an object');
    }
    workflow.check();
    if (deadline !== undefined && !Number.isFinite(deadline))
      throw new InvalidTaskError('deadline', `expected a time in ms since the epoch, got ${deadline}`);
    const planned = workflow.tasks().map((task) => sharing(within(task, deadline), id, budget));
    const refs = hashOfRefs(planned);
    const membership = { id, name: workflow.name, refs, ...(input !== undefined && { input }) };
    const tasks = planned.map((task, i) =>
      this.#toTask(task, `tasks[${i}]`, { ...membership, ref: task.ref } as StoredMembership, metadata),
    );
    await queue().enqueueMany(tasks);
    // Acknowledged when both are there; after a crash in between the same submission again writes the plan.
    const definition = { name: workflow.name, tasks: planned.map(defined) };
    await writeDefinition(queue(), id, definition);
    return new WorkflowRun<Ref>(id, definition, queue());
  }

  /** @throws JottyError with code WORKFLOW_NOT_FOUND */
  async find<Ref extends string>(id: string): Promise<WorkflowRun<Ref>> {
    const { queue } = this.#options;
    const definition = WORKFLOW_ID.test(id) ? await readDefinition(queue(), id) : null;
    if (definition === null) {
      const why = `there is no workflow ${id}; it was never submitted here, or it was purged`;
      throw new JottyError('WORKFLOW_NOT_FOUND', why);
    }
    return new WorkflowRun<Ref>(id, definition, queue());
  }

  #toTask(task: PlannedTask, at: string, workflow: StoredMembership, shared: object | undefined): NewTask {
    const { ref, goal, dependsOn, metadata, ...rest } = task;
    if (metadata !== undefined && 'workflow' in metadata)
      throw new InvalidTaskError(
        `${at}.metadata.workflow`,
        'expected none: it is where the workflow is told',
      );
    if ((rest as { readonly id?: unknown }).id !== undefined)
      throw new InvalidTaskError(
        `${at}.id`,
        'expected none: it is made of the ids of the workflow and the ref',
      );
    const edges = dependsOn.map((edge) => withId(edge, taskIdOf(workflow.id, edge.ref)));
    const options = {
      ...rest,
      id: taskIdOf(workflow.id, ref),
      metadata: { ...shared, ...metadata, workflow },
      ...(edges.length > 0 && { dependsOn: edges }),
    };
    return placed(at, () => this.#options.toTask(goal, options));
  }
}

function within(task: PlannedTask, deadline: number | undefined): PlannedTask {
  if (deadline === undefined) return task;
  return { ...task, deadline: Math.min(deadline, task.deadline ?? deadline) };
}

/** The tasks' budget is one of a key that belongs to the workflow. */
function sharing(task: PlannedTask, id: string, budget: Amounts | undefined): PlannedTask {
  if (budget === undefined || task.approval !== undefined) return task;
  checkBudgets(budget, (field = '') => field, 'budget');
  const shared: Budget = { ...budget, key: keyOfWorkflow(id) };
  return { ...task, budget: [...budgetsIn(task.budget), shared] };
}

/** The goal, the input and the metadata are told by the task itself. */
function defined({
  goal: _,
  input: __,
  metadata: ___,
  ...task
}: PlannedTask): WorkflowDefinition['tasks'][number] {
  return task;
}

function hashOfRefs(tasks: readonly PlannedTask[]): string {
  const refs = tasks.map(({ ref }) => ref).sort();
  return createHash('sha256').update(refs.join('\n')).digest('base64url').slice(0, 16);
}
