import type { Kind } from './claim-filter.ts';
import type { Registry } from './registry.ts';

/** The section of the registry in which the processes that run tasks stand. */
export const WORKERS = 'workers';

/** An agent with this capability takes tasks of every type. */
export const GENERAL_CAPABILITY = 'general';

/** An agent of some process. */
export interface WorkerAgent {
  readonly name: string;
  readonly capabilities: readonly string[];
  /** Tasks it runs at a time in that process; absent where unbounded. */
  readonly maxConcurrent?: number;
  /** Tasks it ran when it was last heard of. */
  readonly running: number;
}

/** A process that runs tasks, as it was last heard of. */
export interface Worker {
  /** As in the leases of its tasks. */
  readonly owner: string;
  /** ms since the epoch. */
  readonly seenAt: number;
  readonly agents: readonly WorkerAgent[];
}

/** The processes that run tasks of this store now. What another process wrote is data: an entry that cannot be read is left out. */
export async function liveWorkers(registry: Registry, now: number): Promise<Worker[]> {
  const entries = await registry.entries(WORKERS, now);
  return entries.flatMap(({ value }) => {
    const worker = parsed(value);
    return worker === null ? [] : [worker];
  });
}

/** Those of the kinds that no agent of these workers may run. */
export function unservedKinds(kinds: readonly Kind[], workers: readonly Worker[]): Kind[] {
  const agents = workers.flatMap((worker) => worker.agents);
  return kinds.filter((kind) => !agents.some((agent) => mayRun(agent, kind)));
}

function mayRun({ name, capabilities }: WorkerAgent, { agent, agentType }: Kind): boolean {
  if (agent !== null) return agent === name;
  return agentType === null || capabilities.includes(agentType) || capabilities.includes(GENERAL_CAPABILITY);
}

function parsed(value: string): Worker | null {
  try {
    const { owner, seenAt, agents } = JSON.parse(value) as Partial<Worker>;
    if (typeof owner !== 'string' || typeof seenAt !== 'number' || !Array.isArray(agents)) return null;
    return { owner, seenAt, agents: agents.filter(isAgent) };
  } catch {
    return null;
  }
}

function isAgent(agent: Partial<WorkerAgent> | null): agent is WorkerAgent {
  return typeof agent?.name === 'string' && Array.isArray(agent.capabilities);
}
