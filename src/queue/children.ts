import { TooLargeError } from '../errors.ts';
import { CHILD_DEPTH_MAX } from './bounds.ts';
import { budgetsIn, scopeOf } from './budget.ts';
import { THREAD_LIMIT } from './limits.ts';
import type { NewTask, Parent } from './task.ts';
import type { TaskRecord } from './task-store.ts';

const NO_SHARE: Pick<NewTask, 'limits' | 'fairKey' | 'fairWeight'> = {};

/**
 * A child as it is submitted: what it does not say itself it takes over from its parent, and it stays under the
 * parent's limits as well as its own, unless it is an approval, which nobody runs. It must not outlive the parent's
 * deadline.
 *
 * @throws TooLargeError where the parent is CHILD_DEPTH_MAX generations down already.
 */
export function childOf(parent: TaskRecord, submission: NewTask, child: NewTask): NewTask {
  const { deadline } = submission;
  const { limits, fairKey, fairWeight } = child.approval ? NO_SHARE : submission;
  const own = child.limits ?? [];
  const inherited = (parent.quota?.limits ?? []).filter(
    ({ key }) => !key.startsWith(THREAD_LIMIT) && !own.some((limit) => limit.key === key),
  );
  const all = limits === undefined && own.length === 0 ? undefined : [...own, ...inherited];
  return {
    ...child,
    priority: child.priority ?? parent.priority,
    ...(all !== undefined && all.length > 0 && { limits: all }),
    ...(child.fairKey === undefined && fairKey !== undefined && { fairKey, fairWeight }),
    ...(deadline !== undefined && { deadline: Math.min(deadline, child.deadline ?? deadline) }),
    parent: parentFor(parent.id, submission),
  };
}

function parentFor(id: string, { parent, budget, metadata }: NewTask): Parent {
  const depth = (parent?.depth ?? 0) + 1;
  if (depth > CHILD_DEPTH_MAX)
    throw new TooLargeError(id, 'CHILD_DEPTH_MAX', CHILD_DEPTH_MAX, depth, 'generations');
  const above = parent && [parent.id, ...(parent.above ?? [])];
  const own = budgetsIn(budget).map((one) => scopeOf(id, one));
  const budgets = [...new Set([...own, ...(parent?.budgets ?? [])])];
  const workflow = workflowIn(id, metadata) ?? parent?.workflow;
  return {
    id,
    depth,
    ...(above && { above }),
    ...(workflow !== undefined && { workflow }),
    ...(budgets.length > 0 && { budgets }),
  };
}

/** Metadata may say anything; the id of a workflow's task begins with the workflow's. */
function workflowIn(taskId: string, metadata: object | undefined): string | undefined {
  const { workflow } = (metadata ?? {}) as { readonly workflow?: { readonly id?: unknown } | null };
  const id = workflow?.id;
  return typeof id === 'string' && taskId.startsWith(`${id}:`) ? id : undefined;
}
