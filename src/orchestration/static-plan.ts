import type { Clock } from '../clock.ts';
import { InvalidOptionError, JottyError } from '../errors.ts';
import type { Agent } from './agent.ts';
import type { CompiledGraph } from './graph.ts';
import { END, nodeNameOf, nodeOptions, START, type TeamBuilder, teamBuilder } from './team-graph.ts';
import { teamNode } from './team-node.ts';
import { recordOf, type TeamValues } from './team-state.ts';
import { type TeamView, viewOf } from './team-view.ts';

/** From one agent to the next. */
export interface PlanEdge<Name extends string = string> {
  /** A list waits for all of them. @default the start */
  readonly from?: Name | typeof START | readonly Name[] | undefined;
  readonly to: Name | typeof END;
  /** Whether this edge is taken; not with a list in `from`. @default it is */
  readonly when?: ((state: TeamView) => boolean) | undefined;
}

/**
 * In which order agents run: a list, in which a list within runs at the same time, e.g.
 * `['research', ['writer', 'reviewer'], 'editor']`; or a graph, as edges with conditions. Of several edges of one
 * agent all that hold are taken; where none does, nothing follows.
 */
export type Plan<Name extends string = string> =
  | readonly (Name | readonly Name[])[]
  | readonly PlanEdge<Name>[];

/** An agent at its place of the plan: in a list it may stand more than once. */
interface Place {
  readonly id: string;
  readonly agent: string;
}

interface Step {
  readonly from: string;
  readonly to: string;
  readonly when?: ((state: TeamView) => boolean) | undefined;
}

interface Join {
  readonly from: readonly string[];
  readonly to: string;
}

/** The plan in one form. */
export interface PlannedOrder {
  readonly places: readonly Place[];
  readonly steps: readonly Step[];
  readonly joins: readonly Join[];
}

/** @throws InvalidOptionError for a plan that is none, or names an agent that is not there. */
export function plannedOrder(plan: Plan, agents: ReadonlyMap<string, Agent>): PlannedOrder {
  if (!Array.isArray(plan) || plan.length === 0)
    throw new InvalidOptionError('plan', 'a list of agents, or of edges { from, to, when }', plan);
  const order = plan.every(isEdge) ? orderOfEdges(plan) : orderOfList(plan as (string | string[])[]);
  for (const { agent } of order.places) {
    if (!agents.has(agent))
      throw new InvalidOptionError('plan', `agents of ${[...agents.keys()].join(', ')}`, agent);
  }
  if (!order.steps.some(({ from }) => from === START))
    throw new InvalidOptionError('plan', 'an edge from the start, or an agent no edge leads to', 'a circle');
  return order;
}

function isEdge(step: unknown): step is PlanEdge {
  return typeof step === 'object' && step !== null && !Array.isArray(step) && 'to' in step;
}

function orderOfList(plan: readonly (string | readonly string[])[]): PlannedOrder {
  if (plan.some((step) => Array.isArray(step) && step.length === 0))
    throw new InvalidOptionError('plan', 'at least one agent in each list within', '[]');
  const seen = new Map<string, number>();
  const place = (agent: string): Place => {
    const nth = (seen.get(agent) ?? 0) + 1;
    seen.set(agent, nth);
    return { agent, id: nth === 1 ? agent : `${agent}.${nth}` };
  };
  const groups = plan.map((step) => [step].flat().map(place));
  const steps: Step[] = [];
  const joins: Join[] = [];
  groups.forEach((group, i) => {
    const before = i === 0 ? [START] : groups[i - 1]!.map(({ id }) => id);
    for (const { id } of group) {
      if (before.length === 1) steps.push({ from: before[0]!, to: id });
      else joins.push({ from: before, to: id });
    }
  });
  return { places: groups.flat(), steps, joins };
}

function orderOfEdges(plan: readonly PlanEdge[]): PlannedOrder {
  const names = new Set<string>(plan.flatMap(({ from = [], to }) => [from, to].flat()));
  const led = new Set<string>(
    plan.flatMap(({ from, to }) => (from === undefined || from === to ? [] : [to])),
  );
  const joins: Join[] = [];
  const steps: Step[] = [];
  for (const { from = START, to, when } of plan) {
    if (!Array.isArray(from)) steps.push({ from: from as string, to, when });
    else if (when === undefined) joins.push({ from, to });
    else throw new InvalidOptionError('plan', 'no `when` on an edge that waits for several', to);
  }
  const places = [...names]
    .filter((name) => name !== START && name !== END)
    .map((agent) => ({ id: agent, agent }));
  const hasStart = steps.some(({ from }) => from === START);
  const first = hasStart ? [] : places.filter(({ id }) => !led.has(id));
  return { places, joins, steps: [...first.map(({ id }) => ({ from: START, to: id })), ...steps] };
}

export interface StaticGraphOptions {
  readonly agents: ReadonlyMap<string, Agent>;
  readonly order: PlannedOrder;
  readonly clock: Clock;
  readonly name: string;
  readonly onEnd?: ((agent: string, wasSuccess: boolean, ms: number) => void) | undefined;
}

/** The plan as a graph: a node for each place, in which the agent's own graph runs. */
export async function staticGraph(options: StaticGraphOptions): Promise<CompiledGraph> {
  const { order, agents, name } = options;
  const members = new Map(order.places.map(({ agent }) => [agent, agents.get(agent)!]));
  const builder = await teamBuilder([...members.values()]);
  const { graph, channels } = builder;
  const node = (id: string) => (id === START || id === END ? id : nodeNameOf(id, channels));
  for (const { id, agent } of order.places) addPlace(builder, options, node(id), members.get(agent)!);
  graph.addConditionalEdges(START, (state) => following(order, START, state).map(node));
  for (const { id, agent } of order.places) {
    graph.addConditionalEdges(node(id), (state) =>
      (handedOver(order, agent, state) ?? following(order, id, state)).map(node),
    );
  }
  for (const { from, to } of order.joins) graph.addEdge(from.map(node), node(to));
  return graph.compile({ name });
}

function addPlace(
  { graph, channels }: TeamBuilder,
  { clock, onEnd }: StaticGraphOptions,
  node: string,
  agent: Agent,
): void {
  graph.addNode(node, teamNode({ agent, clock, channels, onEnd }), nodeOptions(agent));
}

/** What the plan says, by the state that the agent has left. */
function following({ steps }: PlannedOrder, id: string, state: TeamValues): string[] {
  const view = viewOf(state);
  const next = steps.filter(({ from, when }) => from === id && (when === undefined || when(view)));
  return next.length === 0 ? [END] : next.map(({ to }) => to);
}

/** An agent's own choice comes before the plan's. */
function handedOver({ places }: PlannedOrder, agent: string, state: TeamValues): string[] | undefined {
  const targets = recordOf(state).handovers[agent] ?? [];
  if (targets.length === 0) return undefined;
  return targets.map((target) => {
    if (target === END) return END;
    const place = places.find((candidate) => candidate.agent === target);
    if (place === undefined)
      throw unknownAgent(
        `agent ${agent} hands over to`,
        target,
        places.map((at) => at.agent),
      );
    return place.id;
  });
}

export function unknownAgent(who: string, chosen: unknown, names: readonly string[]): JottyError {
  return new JottyError(
    'UNKNOWN_AGENT',
    `${who} ${String(chosen)}, which is not there; there are ${[...new Set(names)].join(', ')}`,
  );
}
