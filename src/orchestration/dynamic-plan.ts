import type { Clock } from '../clock.ts';
import type { Agent } from './agent.ts';
import type { Performance } from './experience.ts';
import type { CompiledGraph } from './graph.ts';
import { unknownAgent } from './static-plan.ts';
import { END, nodeNameOf, nodeOptions, START, teamBuilder } from './team-graph.ts';
import { isTeamSpent, type NodeConfig, teamNode } from './team-node.ts';
import { recordOf, TEAM_CHANNEL, type TeamEnd, type TeamValues } from './team-state.ts';
import { type TeamMember, type TeamView, viewOf } from './team-view.ts';

/** A router's answer: an agent, or END where the goal is met; with the reason, for those who read along. */
export type Route<Name extends string = string> =
  | Name
  | typeof END
  | { readonly next: Name | typeof END; readonly reason?: string | undefined };

/** What a router may pass on to a model it asks. */
export interface RouterConfig {
  readonly signal?: AbortSignal;
}

/** Says who goes on with a goal. Its answer is stored before that agent starts, and not asked for again after a crash. */
export type Router<Name extends string = string> = (
  state: TeamView,
  agents: readonly TeamMember<Name>[],
  config: RouterConfig,
) => Route<Name> | Promise<Route<Name>>;

/** A router for whatever agents there are. */
export type AnyRouter = <Name extends string>(
  state: TeamView,
  agents: readonly TeamMember<Name>[],
  config: RouterConfig,
) => Route<Name> | Promise<Route<Name>>;

export interface DynamicGraphOptions {
  readonly agents: ReadonlyMap<string, Agent>;
  readonly router: Router;
  /** Runs of agents. */
  readonly maxSteps: number;
  /** What the agents and the router may take together, ms. */
  readonly maxMs: number;
  readonly clock: Clock;
  readonly name: string;
  readonly experienceOf: (agent: string) => Performance | undefined;
  readonly onEnd: (agent: string, wasSuccess: boolean, ms: number) => void;
}

const ROUTE = 'jotty.route';

/** A node that routes, and after each agent routes again. */
export async function dynamicGraph(options: DynamicGraphOptions): Promise<CompiledGraph> {
  const { agents, clock, onEnd, name } = options;
  const { graph, channels, command } = await teamBuilder([...agents.values()]);
  const node = (agent: string) => (agent === END ? END : nodeNameOf(agent, channels));
  graph.addNode(
    ROUTE,
    async (state: TeamValues, config: NodeConfig) => {
      const { to, update, ...event } = await routed(options, state, config);
      config.writer?.({ jotty: 'route', next: to, ...event });
      return command({ goto: to.map(node), update: { [TEAM_CHANNEL]: update } });
    },
    { ends: [...[...agents.keys()].map(node), END] },
  );
  graph.addEdge(START, ROUTE);
  for (const agent of agents.values()) {
    graph.addNode(node(agent.name), teamNode({ agent, clock, channels, onEnd }), nodeOptions(agent));
    graph.addEdge(node(agent.name), ROUTE);
  }
  return graph.compile({ name });
}

/** Supersteps of a team that takes all its steps. */
export function superstepsOf(maxSteps: number): number {
  return 2 * maxSteps + 10;
}

interface Decision {
  readonly to: string[];
  readonly by: 'router' | 'handover' | 'bound';
  readonly reason?: string;
  readonly update: {
    readonly handovers: Readonly<Record<string, readonly string[]>>;
    readonly end?: TeamEnd;
    readonly workedMs?: number;
  };
}

async function routed(
  options: DynamicGraphOptions,
  state: TeamValues,
  config: NodeConfig,
): Promise<Decision> {
  const { agents, clock, maxSteps, maxMs, router } = options;
  const { path, workedMs, handovers } = recordOf(state);
  // Each hand-over counts once.
  const update = { handovers: Object.fromEntries(Object.keys(handovers).map((agent) => [agent, []])) };
  const targets = [...new Set(Object.values(handovers).flat())];
  const known = targets.filter((target) => agents.has(target));
  if (targets.includes(END) && known.length === 0) return { to: [END], by: 'handover', update };
  const bound = boundHit(path.length >= maxSteps, workedMs >= maxMs, await isTeamSpent(config));
  if (bound !== undefined)
    return { to: [END], by: 'bound', reason: bound, update: { ...update, end: bound } };
  if (known.length > 0) return { to: known.slice(0, maxSteps - path.length), by: 'handover', update };
  const askedAt = clock.now();
  const view = viewOf(state);
  const route = await router(view, membersOf(options, path), config.signal ? { signal: config.signal } : {});
  const { next, reason } =
    typeof route === 'object' && route !== null ? route : { next: route, reason: undefined };
  if (next !== END && !agents.has(next)) throw unknownAgent('the router chose', next, [...agents.keys()]);
  const taken = { ...update, workedMs: Math.max(0, clock.now() - askedAt) };
  return { to: [next], by: 'router', ...(reason !== undefined && { reason }), update: taken };
}

function boundHit(isAtSteps: boolean, isAtTime: boolean, isSpent: boolean): TeamEnd | undefined {
  if (isAtSteps) return 'steps';
  if (isSpent) return 'budget';
  return isAtTime ? 'time' : undefined;
}

function membersOf({ agents, experienceOf }: DynamicGraphOptions, path: readonly string[]): TeamMember[] {
  return [...agents.values()].map(({ name, description, capabilities }) => {
    const experience = experienceOf(name);
    const runs = path.filter((agent) => agent === name).length;
    return { name, description, capabilities, runs, ...(experience !== undefined && { experience }) };
  });
}
