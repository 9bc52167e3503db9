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
