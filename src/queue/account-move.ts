import {
  accountSection,
  budgetsIn,
  keyOfWorkflow,
  scopeOf,
  scopeOfKey,
  scopeOfTask,
  scopeOfTeam,
} from './budget.ts';
import { readDetails } from './details.ts';
import type { NewTask } from './task.ts';
import type { TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission } from './task-view.ts';

interface AccountMove {
  readonly source: TaskStore;
  readonly target: TaskStore;
  readonly now: () => number;
}

/** Copies what these tasks have spent, with their keys and agents, to where they go; what is there already stays. */
export async function copyAccounts(
  { source, target, now }: AccountMove,
  ids: readonly string[],
  copied: Set<string>,
): Promise<void> {
  const records = await source.get(ids);
  const scopes = new Set(records.flatMap((record) => (record === null ? [] : scopesOf(record))));
  for (const scope of scopes) {
    if (copied.has(scope)) continue;
    const section = accountSection(scope);
    for (const { key, value, expiresAt } of await source.registry.entries(section, now()))
      await target.registry.put(section, { key, value, expiresAt }, now(), 0);
    copied.add(scope);
  }
}

function scopesOf(record: TaskRecord): string[] {
  const { id, quota } = record;
  const { budget, parent, metadata } = readSubmission(record);
  const { assignedAgent } = readDetails(record.details);
  const workflow = workflowIn(metadata);
  return [
    scopeOfTask(id),
    scopeOfTeam(id),
    ...budgetsIn(budget).map((one) => scopeOf(id, one)),
    ...(parent?.budgets ?? []),
    ...(quota?.limits ?? []).map(({ key }) => scopeOfKey(key)),
    ...(workflow === undefined ? [] : [scopeOfKey(keyOfWorkflow(workflow))]),
    ...(assignedAgent === undefined ? [] : [`agent:${assignedAgent}`]),
  ];
}

function workflowIn(metadata: NewTask['metadata']): string | undefined {
  const id = (metadata as { readonly workflow?: { readonly id?: unknown } } | undefined)?.workflow?.id;
  return typeof id === 'string' ? id : undefined;
}
