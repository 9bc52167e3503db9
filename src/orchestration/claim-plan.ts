import { APPROVAL_TYPE } from '../queue/approval.ts';
import type { RunnableBy } from '../queue/claim-filter.ts';
import { GENERAL_CAPABILITY } from '../queue/workers.ts';
import type { Agent } from './agent.ts';

export interface AgentCapacity {
  readonly agent: Agent;
  /** Tasks it may take on now. */
  readonly free: number;
}

export interface PlannedClaim {
  readonly limit: number;
  readonly runnableBy: RunnableBy;
}

/**
 * How to fill `slots` without claiming more than any agent may run. The first claim is for all free agents
 * and no larger than the tightest of them has room; the second fills the rest for agents with room for all.
 * Both may be made at once: together they exceed nobody's capacity, whatever tasks they bring.
 */
export function planClaims(slots: number, capacities: readonly AgentCapacity[]): PlannedClaim[] {
  const free = capacities.filter((capacity) => capacity.free > 0);
  if (slots <= 0 || free.length === 0) return [];
  const tightest = Math.min(slots, ...free.map((capacity) => capacity.free));
  const first = { limit: tightest, runnableBy: runnableBy(free.map(({ agent }) => agent)) };
  const roomy = free.filter((capacity) => capacity.free >= slots);
  if (tightest === slots || roomy.length === 0) return [first];
  return [first, { limit: slots - tightest, runnableBy: runnableBy(roomy.map(({ agent }) => agent)) }];
}

export function runnableBy(agents: readonly Agent[]): RunnableBy {
  const types = new Set(agents.flatMap((agent) => agent.capabilities));
  return {
    agents: agents.map((agent) => agent.name),
    // An approval that a claim meets is asked then and there, and costs no slot.
    agentTypes: types.has(GENERAL_CAPABILITY) ? 'all' : [...types, APPROVAL_TYPE],
  };
}
