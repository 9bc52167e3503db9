import { type Quota, quotaText, toQuota } from './quota.ts';

/** Which tasks a claim may take. All given parts must hold. */
export interface ClaimFilter {
  readonly agentTypes: readonly string[] | null;
  readonly priorityMin: number | null;
  readonly ids: readonly string[] | null;
  /** What a worker with free agents may run: tasks pinned to one of them, and unpinned tasks of their types. */
  readonly runnableBy: RunnableBy | null;
}

export interface RunnableBy {
  readonly agents: readonly string[];
  /** `'all'` where an agent takes every type. Unpinned tasks without a type match any free agent. */
  readonly agentTypes: readonly string[] | 'all';
}

/** What decides which agents may run a task. */
export interface Kind {
  readonly agentType: string | null;
  /** The agent it is pinned to. */
  readonly agent: string | null;
}

/** The waiting tasks that share everything a claim looks at, ids and the weights of limits aside. */
export interface Lane extends Kind {
  readonly priority: number;
  readonly quota?: Quota | undefined;
}

/** Whether every task of the lane passes the filter (ids are not looked at). */
export function laneMatches(lane: Lane, filter: ClaimFilter): boolean {
  if (filter.priorityMin !== null && lane.priority < filter.priorityMin) return false;
  if (
    filter.agentTypes !== null &&
    (lane.agentType === null || !filter.agentTypes.includes(lane.agentType))
  ) {
    return false;
  }
  return filter.runnableBy === null || isRunnable(lane, filter.runnableBy);
}

function isRunnable(lane: Lane, by: RunnableBy): boolean {
  if (lane.agent !== null) return by.agents.includes(lane.agent);
  if (by.agents.length === 0) return false;
  return lane.agentType === null || by.agentTypes === 'all' || by.agentTypes.includes(lane.agentType);
}

/** A lane as one string: `priority|agentType|agent`, and its quota where it has one. No part has the separator. */
export function laneKey(lane: Lane): string {
  const key = kindKey(lane);
  return lane.quota === undefined ? key : `${key}|${quotaText(lane.quota)}`;
}

/** The same without the quota. */
export function kindKey({ priority, agentType, agent }: Lane): string {
  return `${priority}|${agentType ?? ''}|${agent ?? ''}`;
}

/** `weights`: those of one task of the lane (see quota.ts). */
export function laneFromKey(key: string, weights = ''): Lane {
  const [priority = '', agentType = '', agent = '', limits, turn = ''] = key.split('|');
  const lane = { priority: Number(priority), agentType: agentType || null, agent: agent || null };
  return limits === undefined ? lane : { ...lane, quota: toQuota(limits, turn, weights) };
}

/** Each kind once. */
export function kindsOf(all: Iterable<Kind>): Kind[] {
  const kinds = new Map<string, Kind>();
  for (const { agentType, agent } of all)
    kinds.set(`${agentType ?? ''}|${agent ?? ''}`, { agentType, agent });
  return [...kinds.values()];
}
