import { edgeVerdict } from '../queue/dependencies.ts';
import { isEnded, type NewTask, type Task } from '../queue/task.ts';
import { misfit } from '../queue/where.ts';
import type { WorkflowDependency } from './workflow.ts';
import type { DefinedTask } from './workflow-definition.ts';
import { taskIdOf } from './workflow-membership.ts';

/** A task of a workflow as it stands: what was skipped and submitted anew is a task of a later generation. */
export interface LiveTask {
  readonly defined: DefinedTask;
  readonly id: string;
  readonly generation: number;
  /** null where it was purged. */
  readonly task: Task | null;
}

export interface Revival {
  /** Failed tasks that get a new life. */
  readonly redrive: readonly string[];
  /** In place of skipped ones that depended on them. */
  readonly resubmit: readonly NewTask[];
}

/**
 * What a retry of a workflow does. It follows from how the tasks stand alone, also in the middle of a retry
 * that was cut off: a skipped task comes back where no edge of it is lost any more.
 *
 * @param live in an order in which dependencies come first
 */
export function planRevival(workflowId: string, live: readonly LiveTask[]): Revival {
  const redrive: string[] = [];
  const resubmit: NewTask[] = [];
  const coming = new Map<string, string>();
  const byRef = new Map(live.map((one) => [one.defined.ref, one]));
  for (const one of live) {
    const { task, id, defined } = one;
    if (task === null) continue;
    if (task.status === 'failed') {
      redrive.push(id);
      coming.set(defined.ref, id);
    } else if (task.status === 'skipped' && comesBack(task, defined, byRef, coming)) {
      const next = taskIdOf(workflowId, defined.ref, one.generation + 1);
      coming.set(defined.ref, next);
      resubmit.push(anew(next, task, defined, (ref) => coming.get(ref) ?? byRef.get(ref)!.id));
    }
  }
  return { redrive, resubmit };
}

function comesBack(
  skipped: Task,
  { dependsOn }: DefinedTask,
  byRef: ReadonlyMap<string, LiveTask>,
  coming: ReadonlyMap<string, string>,
): boolean {
  // It was lost and is not: something has changed, unless a condition that is not known here said no.
  let isNews = dependsOn.every(({ on }) => typeof on !== 'object');
  for (const edge of dependsOn) {
    const dependency = byRef.get(edge.ref);
    if (!dependency?.task) return false;
    const { task, id } = dependency;
    if (coming.has(edge.ref) || !isEnded(task.status)) isNews = true;
    else if (isLost(edge, task)) return false;
    else isNews ||= wasDecidedAnew(skipped, id, task);
  }
  return isNews;
}

function wasDecidedAnew(skipped: Task, dependencyId: string, { completedAt = 0 }: Task): boolean {
  const isOther = !skipped.dependsOn.some(({ id }) => id === dependencyId);
  return isOther || completedAt > (skipped.completedAt ?? 0);
}

/** Whether the edge can no longer hold. What a custom condition says is not known here: it is asked again. */
function isLost({ on = 'success', where }: WorkflowDependency, task: Task): boolean {
  if (!isEnded(task.status)) return false;
  const word = where !== undefined || typeof on === 'object' ? 'custom' : on;
  const verdict = edgeVerdict(word, task.status);
  if (verdict === 'unjudged') return where !== undefined && misfit(where, task.result) !== null;
  return verdict === 'fails';
}

function anew(
  id: string,
  { payload, metadata }: Task,
  defined: DefinedTask,
  idOf: (ref: string) => string,
): NewTask {
  const { ref: _, dependsOn, ...rest } = defined;
  return { ...rest, id, payload, metadata, dependsOn: dependsOn.map((edge) => withId(edge, idOf(edge.ref))) };
}

/** The same edge to a task by its id. */
export function withId({ ref: _, ...edge }: WorkflowDependency, id: string) {
  return { ...edge, id } as Exclude<NonNullable<NewTask['dependsOn']>[number], string>;
}
