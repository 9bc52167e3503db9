/** How many tasks one step of a sweep takes on. */
export const STEP_TASKS_MAX = 1_000;

/** What is left after so many steps is for the next sweep. */
const STEPS_MAX = 100;

/**
 * Takes steps as long as they are full ones: more tasks than fit into one step per sweep may end their leases, or
 * have been kept long enough, and would otherwise pile up. `step` tells how many tasks it dealt with.
 */
export async function inSteps(step: () => Promise<number>): Promise<void> {
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    if ((await step()) < STEP_TASKS_MAX) return;
  }
}
