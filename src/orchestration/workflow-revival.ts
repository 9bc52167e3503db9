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
  /** In place of tasks whose dependencies run again. */
  readonly resubmit: readonly NewTask[];
}

/** What runs again so far: the id under which it does, by ref. */
type Coming = ReadonlyMap<string, string>;

/**
 * What a retry of a workflow does. It follows from how the tasks stand alone, also in the middle of a retry
 * that was cut off: a skipped task comes back where no edge of it is lost any more, and a failed one waits
 * again for those of its dependencies that run again.
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
    const verdict = task && verdictOn(task, defined, byRef, coming);
    if (verdict === 'redrive') {
      redrive.push(id);
      coming.set(defined.ref, id);
    } else if (verdict === 'resubmit') {
      const next = taskIdOf(workflowId, defined.ref, one.generation + 1);
      coming.set(defined.ref, next);
      resubmit.push(anew(next, task!, defined, (ref) => coming.get(ref) ?? byRef.get(ref)!.id));
    }
  }
  return { redrive, resubmit };
}

function verdictOn(
  task: Task,
  { dependsOn, join }: DefinedTask,
  byRef: ReadonlyMap<string, LiveTask>,
  coming: Coming,
): 'redrive' | 'resubmit' | null {
  if (task.status !== 'failed' && task.status !== 'skipped') return null;
  let isNews = false;
  let lost = 0;
  for (const edge of dependsOn) {
    const dependency = byRef.get(edge.ref);
    // Nothing can wait for what is purged.
    if (!dependency?.task) return task.status === 'failed' ? 'redrive' : null;
    if (coming.has(edge.ref) || isAnother(task, dependency)) isNews = true;
    if (!coming.has(edge.ref) && cannotHold(edge, dependency.task)) lost += 1;
  }
  if (task.status === 'failed') return isNews ? 'resubmit' : 'redrive';
  // What was lost and is not has changed, unless a condition that is not known here said no.
  const isLost = join === 'any' ? lost === dependsOn.length : lost > 0;
  const isKnown = dependsOn.every(({ on }) => typeof on !== 'object');
  return !isLost && (isNews || isKnown) ? 'resubmit' : null;
}

/** Whether the dependency is not the one by whose end it was decided. */
function isAnother({ dependsOn, completedAt = 0 }: Task, { id, task }: LiveTask): boolean {
  if (!dependsOn.some((dependency) => dependency.id === id)) return true;
  return task !== null && (!isEnded(task.status) || (task.completedAt ?? 0) > completedAt);
}

/** Whether the edge can no longer hold. What a custom condition says is not known here: it is asked again. */
function cannotHold({ on = 'success', where }: WorkflowDependency, task: Task): boolean {
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
