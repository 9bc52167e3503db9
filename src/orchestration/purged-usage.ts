import { scopeOfTask } from '../queue/budget.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { Accounts } from './accounts.ts';
import { scopeOfTeam } from './metering.ts';

/** Accounts that are looked for at a time. */
const READS = 100;

/** Removes the accounts of tasks that this queue object purges; what they spent stays with their agents, keys and parents. */
export function followPurgedUsage(queue: TaskQueue, accounts: Accounts): () => void {
  // One that could not be removed only takes up space.
  return queue.on('purged', (ids) => void forget(accounts, ids).catch(() => {}));
}

async function forget(accounts: Accounts, purged: readonly string[]): Promise<void> {
  for (let from = 0; from < purged.length; from += READS) {
    const scopes = purged.slice(from, from + READS).flatMap((id) => [scopeOfTask(id), scopeOfTeam(id)]);
    await Promise.all(
      scopes.map(async (scope) => {
        if ((await accounts.read(scope)) !== null) await accounts.remove(scope);
      }),
    );
  }
}
