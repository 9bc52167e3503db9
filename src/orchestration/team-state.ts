import { isDeepStrictEqual } from 'node:util';
import type { BaseChannel } from '@langchain/langgraph';
import type { JsonObject, JsonValue } from '../json.ts';
import type { Agent } from './agent.ts';
import { foldChannel } from './fold-channel.ts';

/*
 * The state of several agents on one goal: the union of their channels, under their own names, and one channel of
 * ours. What an agent has made of a channel is handed over as a change to what it was given: LangGraph's own way,
 * the final value into the reducer, would add all of a list once more with each agent.
 */

/** Why a goal of several agents has ended: nothing was left to do, or a bound was hit. */
export type TeamEnd = 'done' | 'steps' | 'time' | 'budget';

/** What Jotty keeps beside the agents' channels. */
export interface TeamRecord {
  /** The agents that have run, in order. */
  readonly path: readonly string[];
  /** What each has made, by name; of several times the last. */
  readonly results: Readonly<Record<string, JsonValue>>;
  /** To whom an agent has handed over at its last end, by its name. */
  readonly handovers: Readonly<Record<string, readonly string[]>>;
  /** What the agents and the router have taken so far, ms. */
  readonly workedMs: number;
  /** Keys of the input that no channel takes; agents without a graph get them. */
  readonly rest: JsonObject;
  readonly end: TeamEnd;
}

/** The keys of a state by name: the agents' channels, `goal`, and TEAM_CHANNEL. */
export type TeamValues = Readonly<Record<string, unknown>>;

export const TEAM_CHANNEL = 'jotty';
export const GOAL = 'goal';

const NEW_RECORD: TeamRecord = {
  path: [],
  results: {},
  handovers: {},
  workedMs: 0,
  rest: {},
  end: 'done',
};

/** What changes in the record; lists and maps are added to. */
export type TeamRecordChange = Partial<TeamRecord>;

export function recordOf(state: TeamValues): TeamRecord {
  return (state[TEAM_CHANNEL] as TeamRecord | undefined) ?? NEW_RECORD;
}

/** The agents' channels, without ours. */
export function valuesOf(state: TeamValues): Record<string, unknown> {
  const { [TEAM_CHANNEL]: _record, [GOAL]: _goal, ...values } = state;
  return values;
}

/** What a task records, and `run` returns, for several agents on one goal. */
export function teamResult(state: TeamValues): Record<string, unknown> {
  const { path, results, end } = recordOf(state);
  const goal = state[GOAL] === undefined ? {} : { goal: state[GOAL] };
  return { ...goal, ...valuesOf(state), path, results, endedBy: end };
}

/** A change that an agent has made to a channel. */
type Change =
  | { readonly $jotty: 'set'; readonly value: unknown }
  | { readonly $jotty: 'append'; readonly items: readonly unknown[] };

type Operator = (current: unknown, update: unknown) => unknown;

/** A channel as far as its reducer is read; LangGraph's BinaryOperatorAggregate has one. */
interface ReducedChannel {
  readonly lc_graph_name?: string;
  readonly operator?: Operator;
  readonly initialValueFactory?: () => unknown;
}

/** Channels that live for one step, or are never stored, are no matter between agents. */
const PASSING: ReadonlySet<unknown> = new Set(['EphemeralValue', 'UntrackedValue']);

/** The union of the agents' channels; of the same name, the first with a reducer. */
export function teamChannels(
  agents: readonly Pick<Agent, 'graph'>[],
  messagesReducer: Operator,
): Record<string, BaseChannel> {
  const found = new Map<string, ReducedChannel>();
  for (const { graph } of agents) {
    for (const [name, channel] of Object.entries(graph?.channels ?? {})) {
      if (!isShared(name, channel as ReducedChannel)) continue;
      if (found.get(name)?.operator === undefined) found.set(name, channel as ReducedChannel);
    }
  }
  const channels = [...found].map(([name, channel]) => [name, channelLike(name, channel, messagesReducer)]);
  return {
    ...(Object.fromEntries(channels) as Record<string, BaseChannel>),
    [GOAL]: folding((_, goal) => goal, undefined),
    [TEAM_CHANNEL]: foldChannel<TeamRecord, TeamRecordChange>(foldRecord, () => NEW_RECORD) as BaseChannel,
  };
}

function isShared(name: string, channel: ReducedChannel): boolean {
  if (name.startsWith('__') || name.includes(':') || name === TEAM_CHANNEL || name === GOAL) return false;
  return name !== 'results' && !PASSING.has(channel.lc_graph_name);
}

function channelLike(name: string, channel: ReducedChannel, messagesReducer: Operator): BaseChannel {
  const { operator, initialValueFactory } = channel;
  const isPlain = operator === undefined;
  if (name !== 'messages')
    return folding((current, update) => foldValue(current, update, operator), initialValueFactory);
  const initial = isPlain ? () => [] : initialValueFactory;
  return folding((current, update) => foldMessages(current, update, operator ?? messagesReducer), initial);
}

function folding(fold: Operator, initial: (() => unknown) | undefined): BaseChannel {
  return foldChannel<unknown, unknown>(fold, initial) as BaseChannel;
}

function foldValue(current: unknown, update: unknown, operator: Operator | undefined): unknown {
  if (!isChange(update)) {
    return operator === undefined || current === undefined ? update : operator(current, update);
  }
  if (update.$jotty === 'set') return update.value;
  return Array.isArray(current) ? [...current, ...update.items] : update.items;
}

/** The reducer makes messages of what agents elsewhere have sent as plain data. */
function foldMessages(current: unknown = [], update: unknown, operator: Operator): unknown {
  if (!isChange(update)) return operator(current, update);
  return update.$jotty === 'set' ? operator([], update.value) : operator(current, update.items);
}

function isChange(update: unknown): update is Change {
  return typeof update === 'object' && update !== null && '$jotty' in update;
}

function foldRecord(current: TeamRecord = NEW_RECORD, change: TeamRecordChange): TeamRecord {
  return {
    path: [...current.path, ...(change.path ?? [])],
    results: { ...current.results, ...change.results },
    handovers: { ...current.handovers, ...change.handovers },
    workedMs: current.workedMs + (change.workedMs ?? 0),
    rest: { ...current.rest, ...change.rest },
    end: change.end ?? current.end,
  };
}

/** What an agent has made, and the changes that brings to the channels. */
export interface Made {
  readonly made: Readonly<Record<string, unknown>>;
  readonly changes: Readonly<Record<string, Change>>;
}

/** `output` against what the agent was given: a list that it only added to is a list of what it added. */
export function madeOf(
  given: TeamValues,
  output: Readonly<Record<string, unknown>>,
  channels: ReadonlySet<string>,
): Made {
  const made: Record<string, unknown> = {};
  const changes: Record<string, Change> = {};
  for (const [name, value] of Object.entries(output)) {
    if (value === undefined || name === GOAL || name === TEAM_CHANNEL) continue;
    const before = given[name];
    if (isDeepStrictEqual(before, value)) continue;
    const added = addedTo(before, value);
    if (added?.length === 0) continue;
    made[name] = added ?? value;
    if (!channels.has(name)) continue;
    changes[name] = added === undefined ? { $jotty: 'set', value } : { $jotty: 'append', items: added };
  }
  return { made, changes };
}

function addedTo(before: unknown, after: unknown): readonly unknown[] | undefined {
  if (!Array.isArray(before) || !Array.isArray(after) || after.length < before.length) return undefined;
  return before.every((item, i) => isSame(item, after[i])) ? after.slice(before.length) : undefined;
}

/** Messages are the same where their ids are: one that came out of a checkpoint has other fields. */
function isSame(a: unknown, b: unknown): boolean {
  const [idA, idB] = [a, b].map((item) => (item as { id?: unknown } | null | undefined)?.id);
  return typeof idA === 'string' && idA !== '' ? idA === idB : isDeepStrictEqual(a, b);
}
