import { type Clock, systemClock } from '../clock.ts';
import { InvalidOptionError } from '../errors.ts';
import { type Amounts, amountsProblem } from '../queue/budget.ts';
import {
  type Agent,
  type AgentSettings,
  type AgentSource,
  agentFrom,
  type ComposedAgent,
  goalAndInput,
} from './agent.ts';
import { AgentCoordinator } from './agent-coordinator.ts';
import { dynamicGraph, type Router, superstepsOf } from './dynamic-plan.ts';
import type { CompiledGraph } from './graph.ts';
import { scoreRouter } from './routers.ts';
import { type Plan, plannedOrder, staticGraph } from './static-plan.ts';
import { checkMembers } from './team-graph.ts';
import { GOAL, TEAM_CHANNEL, type TeamRecordChange, type TeamValues, teamResult } from './team-state.ts';

type TeamSettings = Omit<AgentSettings, 'toInput' | 'toResult' | 'recursionLimit'>;

interface TeamOptions<Name extends string> extends TeamSettings {
  /** What a conductor takes as agents; a team may be one of them. */
  readonly agents: Readonly<Record<Name, AgentSource>>;
  /** Makes the recorded result of the final state. @default all of it: channels, `path`, `results`, `endedBy` */
  readonly toResult?: ((result: Readonly<Record<string, unknown>>) => unknown) | undefined;
  /** What its agents have learned is kept there. @default one of its own */
  readonly coordinator?: AgentCoordinator | undefined;
  readonly clock?: Clock | undefined;
}

export interface StaticAgentOptions<Name extends string = string> extends TeamOptions<Name> {
  readonly plan: Plan<NoInfer<Name>>;
  /** Supersteps of one run, which bounds a plan that goes in circles. @default 100 */
  readonly maxSteps?: number | undefined;
}

export interface DynamicAgentOptions<Name extends string = string> extends TeamOptions<Name> {
  /** @default scoreRouter() */
  readonly router?: Router<NoInfer<Name>> | undefined;
  /** Runs of agents for one goal; it ends then, `endedBy: 'steps'`. @default 25 */
  readonly maxSteps?: number | undefined;
  /** What the agents and the router may take together for one goal, looked at between them, ms; `endedBy: 'time'`. @default none */
  readonly maxMs?: number | undefined;
  /**
   * What the agents may spend together on one goal: the call of a model that comes after is refused, and the goal ends
   * with what was made until then; `endedBy: 'budget'`. Nobody is asked: for that, give the goal a budget. @default none
   */
  readonly budget?: Pick<Amounts, 'tokens' | 'cost' | 'modelCalls'> | undefined;
}

const STATIC_STEPS = 100;
/** Steps and time have bounds of their own. */
const TEAM_AMOUNTS: readonly string[] = ['tokens', 'cost', 'modelCalls'];
const DYNAMIC_STEPS = 25;

/**
 * Several agents on one goal, in a given order: one agent, whose graph has theirs as nodes. Each runs in a
 * checkpoint namespace of its own, so that a crash in the third does not repeat the first two. Channels of the same
 * name are shared, and each agent finds what those before it have made under `results` where it has such a channel.
 *
 * @throws InvalidOptionError
 */
export function staticAgent<Name extends string>(options: StaticAgentOptions<Name>): ComposedAgent {
  const { plan, maxSteps = STATIC_STEPS, clock = systemClock, coordinator } = options;
  const members = membersOf(options.agents);
  const order = plannedOrder(plan as Plan, members);
  positive('maxSteps', maxSteps);
  const planned = new Map([...members].filter(([name]) => order.places.some(({ agent }) => agent === name)));
  const onEnd = coordinator === undefined ? undefined : learner(coordinator);
  return composed(options, planned, maxSteps, async (agents) =>
    staticGraph({ agents, order, clock, name: 'static', onEnd }),
  );
}

/**
 * Several agents on one goal, of which a router picks the next until the goal is met or a bound is hit: one agent,
 * whose graph has theirs as nodes, each in a checkpoint namespace of its own. An agent hands over to another by
 * `new Command({ goto: 'name', graph: Command.PARENT })`; the router is not asked then.
 *
 * @throws InvalidOptionError
 */
export function dynamicAgent<Name extends string>(options: DynamicAgentOptions<Name>): ComposedAgent {
  const { maxSteps = DYNAMIC_STEPS, maxMs = Infinity, clock = systemClock } = options;
  const { coordinator = new AgentCoordinator() } = options;
  const router = (options.router ?? scoreRouter()) as Router;
  if (typeof router !== 'function') throw new InvalidOptionError('router', 'a function', router);
  positive('maxSteps', maxSteps);
  positive('maxMs', maxMs);
  if (options.budget !== undefined) checkBudget(options.budget);
  const onEnd = learner(coordinator);
  const experienceOf = (agent: string) => coordinator.performance(agent);
  const rest = { router, maxSteps, maxMs, clock, name: 'dynamic', onEnd, experienceOf };
  const team = composed(options, membersOf(options.agents), superstepsOf(maxSteps), async (agents) =>
    dynamicGraph({ agents, ...rest }),
  );
  return options.budget === undefined ? team : { ...team, budget: options.budget };
}

function membersOf(sources: Readonly<Record<string, AgentSource>>): Map<string, Agent> {
  const named = Object.entries(sources ?? {});
  checkMembers(
    'agents',
    named.map(([name]) => name),
  );
  const members = named.map(([name, source]) => agentFrom(name, source));
  const bounded = members.find(({ budget }) => budget !== undefined);
  if (bounded !== undefined)
    throw new InvalidOptionError('agents', 'a budget of the whole team only', `${bounded.name}.budget`);
  return new Map(members.map((agent) => [agent.name, agent]));
}

function composed(
  { capabilities, maxConcurrent, timeoutMs, toResult, ...options }: TeamOptions<string>,
  members: ReadonlyMap<string, Agent>,
  recursionLimit: number,
  build: (agents: ReadonlyMap<string, Agent>) => Promise<CompiledGraph>,
): ComposedAgent {
  const { description = [...members.values()].map(describe).join('\n') } = options;
  let graph: Promise<CompiledGraph> | undefined;
  const inputs = inputsOf(members);
  return {
    capabilities,
    maxConcurrent,
    timeoutMs,
    description,
    recursionLimit,
    inputs,
    toInput: inputs === undefined ? (task) => openInput(task, members) : undefined,
    toResult: (state) => {
      const result = teamResult(state as TeamValues);
      return toResult === undefined ? result : toResult(result);
    },
    hold: holderOf(members),
    compose: () => {
      graph ??= withGraphs(members)
        .then(build)
        .catch((error: unknown) => {
          graph = undefined;
          throw error;
        });
      return graph;
    },
  };
}

/** One of several conductors may close: what members run for the others goes on. */
function holderOf(members: ReadonlyMap<string, Agent>): () => () => Promise<void> {
  let holders = 0;
  return () => {
    holders += 1;
    return async () => {
      holders -= 1;
      if (holders > 0) return;
      await Promise.all(
        [...members.values()].map(({ isolated, release }) => isolated?.close() ?? release?.()),
      );
    };
  };
}

function describe({ name, description }: Agent): string {
  return description === '' ? name : `${name}: ${description}`;
}

/** Members that are given by their modules are loaded, and those that are teams get their graphs. */
async function withGraphs(members: ReadonlyMap<string, Agent>): Promise<Map<string, Agent>> {
  const entries = [...members].map(async ([name, member]): Promise<[string, Agent]> => {
    const agent = member.load === undefined ? member : await member.load();
    if (agent.compose === undefined) return [name, agent];
    return [name, { ...agent, graph: await agent.compose() }];
  });
  return new Map(await Promise.all(entries));
}

/** undefined where one of them takes any key. */
function inputsOf(members: ReadonlyMap<string, Agent>): ReadonlySet<string> | undefined {
  const all = [...members.values()].map(({ inputs, toInput }) =>
    toInput === undefined ? inputs : undefined,
  );
  if (all.includes(undefined)) return undefined;
  return new Set([GOAL, ...all.flatMap((inputs) => [...inputs!])]);
}

/** A key that no channel takes is kept for the agents that take any. */
function openInput(
  { payload, results, workflow }: Parameters<NonNullable<AgentSettings['toInput']>>[0],
  members: ReadonlyMap<string, Agent>,
): Record<string, unknown> {
  const { goal, input } = goalAndInput(payload);
  const known = new Set([...members.values()].flatMap(({ inputs }) => [...(inputs ?? [])]));
  const entries = Object.entries({ ...workflow?.input, ...input });
  const rest = Object.fromEntries(entries.filter(([key]) => !known.has(key))) as TeamRecordChange['rest'];
  const own = Object.fromEntries(entries.filter(([key]) => known.has(key)));
  return {
    ...own,
    ...(goal !== undefined && { goal }),
    [TEAM_CHANNEL]: { ...(rest !== undefined && { rest }), ...(results !== undefined && { results }) },
  };
}

function learner(coordinator: AgentCoordinator) {
  return (agent: string, wasSuccess: boolean, ms: number) => coordinator.learn(agent, {}, wasSuccess, ms);
}

function checkBudget(budget: object): void {
  const other = Object.keys(budget).find((name) => !TEAM_AMOUNTS.includes(name));
  if (other !== undefined) throw new InvalidOptionError('budget', TEAM_AMOUNTS.join(', '), other);
  const problem = amountsProblem(budget as Record<string, unknown>);
  if (problem) throw new InvalidOptionError(`budget${problem[0]}`, problem[1], budget);
}

function positive(option: string, value: number): void {
  if (!(value > 0)) throw new InvalidOptionError(option, 'a number above 0', value);
}
