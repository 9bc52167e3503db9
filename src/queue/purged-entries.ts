import { accountSection, keyOfWorkflow, scopeOfKey, scopeOfTask, scopeOfTeam } from './budget.ts';
import type { Registry } from './registry.ts';
import { generationsIn, planSection, planText } from './sections.ts';
import type { TaskStore } from './task-store.ts';

/** So many accounts, or tasks of a workflow, are looked for at a time. */
const READS = 100;

/**
 * Removes what stands in the registry for purged tasks: their accounts, and of a workflow of which no task is left
 * its plan and its account. What they spent stays with their agents, keys and parents.
 */
export async function forgetEntriesOf(
  store: TaskStore,
  purged: readonly string[],
  now: () => number,
): Promise<void> {
  for (let from = 0; from < purged.length; from += READS) {
    const scopes = purged.slice(from, from + READS).flatMap((id) => [scopeOfTask(id), scopeOfTeam(id)]);
    await Promise.all(scopes.map((scope) => clear(store.registry, accountSection(scope), now())));
  }
  const prefixes = purged.filter((id) => id.includes(':')).map((id) => id.slice(0, id.indexOf(':')));
  for (const id of new Set(prefixes)) {
    if (!(await isGone(store, id, now()))) continue;
    await clear(store.registry, planSection(id), now());
    await clear(store.registry, accountSection(scopeOfKey(keyOfWorkflow(id))), now());
  }
}

async function clear(registry: Registry, section: string, now: number): Promise<void> {
  for (const { key } of await registry.entries(section, now)) await registry.remove(section, key);
}

/** Whether it is a workflow with no task left. The last ones are asked for first, since they end last. */
async function isGone(store: TaskStore, workflowId: string, now: number): Promise<boolean> {
  const entries = await store.registry.entries(planSection(workflowId), now);
  const refs = refsIn(planText(entries));
  if (refs === null) return false;
  const ids = refs.map((ref) => `${workflowId}:${ref}`);
  for (let n = 2; n <= generationsIn(entries); n++)
    ids.push(...refs.map((ref) => `${workflowId}:${ref}:${n}`));
  ids.reverse();
  for (let from = 0; from < ids.length; from += READS) {
    const records = await store.get(ids.slice(from, from + READS));
    if (records.some((record) => record !== null)) return false;
  }
  return true;
}

/** The refs of a plan's tasks; null without a plan, and for one that cannot be read, which submitting it again mends. */
function refsIn(text: string): string[] | null {
  try {
    const plan = JSON.parse(text) as { tasks: { ref: string }[] };
    return plan.tasks.map(({ ref }) => ref);
  } catch {
    return null;
  }
}
