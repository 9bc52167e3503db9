import type { BaseChannel } from '@langchain/langgraph';
import { InvalidOptionError } from '../errors.ts';
import type { Agent } from './agent.ts';
import type { CompiledGraph } from './graph.ts';
import { teamChannels } from './team-state.ts';

/** LangGraph's names for the ends of a graph. */
export const START = '__start__';
export const END = '__end__';

/** A StateGraph whose node names are not known to the compiler. */
interface TeamGraph {
  addNode(name: string, run: unknown, options?: object): TeamGraph;
  addEdge(from: string | readonly string[], to: string): TeamGraph;
  addConditionalEdges(
    from: string,
    choose: (state: Readonly<Record<string, unknown>>) => string[],
  ): TeamGraph;
  compile(options: { readonly name: string }): CompiledGraph;
}

export interface TeamBuilder {
  readonly graph: TeamGraph;
  readonly channels: ReadonlySet<string>;
  readonly command: (fields: { readonly goto: string[]; readonly update: object }) => unknown;
}

/** An empty graph with the channels of all agents. LangGraph is loaded here, and not before. */
export async function teamBuilder(agents: readonly Agent[]): Promise<TeamBuilder> {
  const { Annotation, Command, messagesStateReducer, StateGraph } = await import('@langchain/langgraph');
  const channels: Record<string, BaseChannel> = teamChannels(agents, messagesStateReducer as never);
  return {
    graph: new StateGraph(Annotation.Root(channels)) as unknown as TeamGraph,
    channels: new Set(Object.keys(channels)),
    command: (fields) => new Command(fields as never),
  };
}

/** What LangGraph is told of an agent's node: whose graph runs in it, and how long it may. */
export function nodeOptions({ graph, timeoutMs }: Agent): object {
  return {
    ...(graph !== undefined && { subgraphs: [graph] }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs }),
  };
}

/** LangGraph has one name space for nodes and channels. */
export function nodeNameOf(agent: string, channels: ReadonlySet<string>): string {
  return channels.has(agent) ? `${agent}.agent` : agent;
}

/** @throws InvalidOptionError where LangGraph could not have a node of this name. */
export function checkMembers(option: string, names: readonly string[]): void {
  if (names.length === 0) throw new InvalidOptionError(option, 'at least one agent', names);
  const wrong = names.find((name) => name.includes(':') || name === START || name === END);
  if (wrong !== undefined) throw new InvalidOptionError(option, 'names without a colon', wrong);
}
