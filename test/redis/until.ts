import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 20_000;
const ASK_AGAIN_MS = 20;

/** Asks again and again; for what servers agree on among themselves, of which they send no word. */
export async function until(question: () => Promise<boolean>, problem: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await question())) {
    if (performance.now() > deadline) throw new Error(`${problem} within ${DEADLINE_MS} ms`);
    await sleep(ASK_AGAIN_MS);
  }
}
