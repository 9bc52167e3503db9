/** How many tasks one step of a sweep takes on. */
export const STEP_TASKS_MAX = 1_000;

/** What is left after so many steps is for the next sweep. */
const STEPS_MAX = 100;

/**
 * Takes steps as long as they are full ones: more tasks than fit into one step per sweep may end their leases, or
 * have been kept long enough, and would otherwise pile up. `step` tells how many tasks it dealt with; returned is how
 * many they all did.
 */
export async function inSteps(step: () => Promise<number>): Promise<number> {
  let sum = 0;
  for (let steps = 0; steps < STEPS_MAX; steps++) {
    const dealt = await step();
    sum += dealt;
    if (dealt < STEP_TASKS_MAX) break;
  }
  return sum;
}
