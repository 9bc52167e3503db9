/**
 * Sections of the registry that belong to a queue and move with it; what processes say of themselves, who is alive
 * and who is to stop, does not.
 */
export const SCHEDULES = 'schedules';
/** What the workers have learned of their agents, an entry each. */
export const EXPERIENCE = 'experience';

/** The plan of a workflow, in parts. */
export function planSection(workflowId: string): string {
  return `workflow:${workflowId}`;
}

/**
 * Its entry beside the parts, whose keys are digits: the highest generation that a task of the workflow has had, where
 * a retry submitted some anew.
 */
export const GENERATIONS = 'generations';

/** The parts of a plan among the entries of its section, as one text. */
export function planText(entries: readonly { readonly key: string; readonly value: string }[]): string {
  return entries.map(({ key, value }) => (key === GENERATIONS ? '' : value)).join('');
}

export function generationsIn(entries: readonly { readonly key: string; readonly value: string }[]): number {
  return Number(entries.find(({ key }) => key === GENERATIONS)?.value ?? 1) || 1;
}
