import { JottyError } from '../errors.ts';
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
  /** The highest generation among those. */
  readonly generations: number;
}

interface Coming {
  readonly byRef: ReadonlyMap<string, LiveTask>;
  /** What is not left as it is: the id under which it runs, by ref. */
  readonly ids: Map<string, string>;
  /** Of those and of what runs: what failed, and what depends on that. */
  readonly again: Set<string>;
}

/**
 * What a retry of a workflow does. It follows from how the tasks stand alone, also in the middle of a retry
 * that was cut off: a skipped task comes back where no edge of it is lost any more, a failed one waits again for
 * those of its dependencies that run again, and so does a completed one that needed all of its dependencies.
 *
 * @param live in an order in which dependencies come first
 * @throws JottyError with code WORKFLOW_PURGED where the result of a purged task would be needed
 */
export function planRevival(workflowId: string, live: readonly LiveTask[]): Revival {
  const redrive: string[] = [];
  const resubmit: NewTask[] = [];
  let generations = 1;
  const byRef = new Map(live.map((one) => [one.defined.ref, one]));
  const coming: Coming = { byRef, ids: new Map(), again: new Set() };
  for (const one of live) {
    const { task, id, defined } = one;
    const verdict = task && verdictOn(task, defined, coming);
    if (task && (!isEnded(task.status) || (verdict !== null && isOfFailed(task, defined, coming))))
      coming.again.add(defined.ref);
    if (verdict === 'redrive') {
      redrive.push(id);
      coming.ids.set(defined.ref, id);
    } else if (verdict === 'resubmit') {
      const next = taskIdOf(workflowId, defined.ref, one.generation + 1);
      resubmit.push(anew(next, task!, defined, coming));
      coming.ids.set(defined.ref, next);
      generations = Math.max(generations, one.generation + 1);
    }
  }
  return { redrive, resubmit, generations };
}

/** Whether it failed, or depends on what did and runs again, and nothing that stays is in its way. */
function isOfFailed({ status }: Task, { dependsOn, join }: DefinedTask, { again, byRef }: Coming): boolean {
  if (status === 'failed') return true;
  const stays = dependsOn.filter(({ ref }) => !again.has(ref));
  if (stays.length === dependsOn.length) return false;
  if (status === 'completed' || join === 'any') return true;
  return !stays.some((edge) => cannotHold(edge, byRef.get(edge.ref)?.task ?? null));
}

function verdictOn(task: Task, defined: DefinedTask, coming: Coming): 'redrive' | 'resubmit' | null {
  const { dependsOn, join } = defined;
  const isNews = dependsOn.some(({ ref }) => coming.ids.has(ref) || isAnother(task, coming.byRef.get(ref)!));
  switch (task.status) {
    case 'failed':
      return isNews ? 'resubmit' : 'redrive';
    case 'completed':
      // Of several dependencies that could each set it going, one that is left as it is may have done so.
      return join !== 'any' && dependsOn.some(({ ref }) => coming.again.has(ref)) ? 'resubmit' : null;
    case 'skipped':
      return comesBack(defined, isNews, coming) ? 'resubmit' : null;
    default:
      return null;
  }
}

/** What was lost and is not has changed, unless nobody knows here what became of an edge. */
function comesBack({ dependsOn, join }: DefinedTask, isNews: boolean, coming: Coming): boolean {
  const stays = dependsOn.filter(({ ref }) => !coming.ids.has(ref));
  const gone = stays.filter((edge) => isGone(edge, coming));
  const lost = stays.filter((edge) => cannotHold(edge, coming.byRef.get(edge.ref)?.task ?? null));
  if (join === 'any') {
    if (lost.length + gone.length === dependsOn.length) return false;
  } else if (lost.length > 0) return false;
  if (gone.length > 0) return dependsOn.some(({ ref }) => coming.again.has(ref));
  return isNews || dependsOn.every(({ on }) => typeof on !== 'object');
}

/** Whether the edge is to a task that was purged, of which more is needed than that it has ended. */
function isGone({ ref, on }: WorkflowDependency, { byRef }: Coming): boolean {
  return byRef.get(ref)?.task === null && on !== 'completion';
}

/** Whether the dependency is not the one by whose end it was decided. */
function isAnother({ dependsOn, completedAt = 0 }: Task, { id, task }: LiveTask): boolean {
  if (!dependsOn.some((dependency) => dependency.id === id)) return true;
  return task !== null && (!isEnded(task.status) || (task.completedAt ?? 0) > completedAt);
}

/** Whether the edge can no longer hold. What a custom condition says is not known here: it is asked again. */
function cannotHold({ on = 'success', where }: WorkflowDependency, task: Task | null): boolean {
  if (task === null || !isEnded(task.status)) return false;
  const word = where !== undefined || typeof on === 'object' ? 'custom' : on;
  const verdict = edgeVerdict(word, task.status);
  if (verdict === 'unjudged') return where !== undefined && misfit(where, task.result) !== null;
  return verdict === 'fails';
}

/** Edges to purged tasks are left out where those can be done without. */
function anew(id: string, { payload, metadata }: Task, defined: DefinedTask, coming: Coming): NewTask {
  const { ref, dependsOn, ...rest } = defined;
  const gone = dependsOn.find((edge) => isGone(edge, coming));
  if (gone !== undefined && defined.join !== 'any')
    throw new JottyError(
      'WORKFLOW_PURGED',
      `task ${ref} cannot run again: ${gone.ref}, which it depends on, was purged; submit the workflow anew`,
    );
  const edges = dependsOn.filter((edge) => coming.byRef.get(edge.ref)?.task !== null);
  const idOf = (one: string) => coming.ids.get(one) ?? coming.byRef.get(one)!.id;
  return { ...rest, id, payload, metadata, dependsOn: edges.map((edge) => withId(edge, idOf(edge.ref))) };
}

/** The same edge to a task by its id. */
export function withId({ ref: _, ...edge }: WorkflowDependency, id: string) {
  return { ...edge, id } as Exclude<NonNullable<NewTask['dependsOn']>[number], string>;
}
