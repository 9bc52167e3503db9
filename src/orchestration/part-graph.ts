import type { Checkpointer } from './graph.ts';
import type { NodeConfig } from './team-node.ts';

/** LangGraph's names for what a graph within a graph finds in its config. */
const CHECKPOINTER_KEY = '__pregel_checkpointer';
const STREAM_KEY = '__pregel_stream';
const READ_KEY = '__pregel_read';
/** Of what else is there, only these are more than a text or a number, and data nevertheless. */
const MAPS: readonly string[] = ['checkpoint_map', '__pregel_resume_map'];
const DATA: readonly string[] = ['string', 'number', 'boolean'];

/** Where in the graph around it a part has its checkpoints, and what it goes on with: data. */
export type PartPlace = Readonly<Record<string, unknown>>;

/** Takes what chunks the graph around it is asked for. */
export interface PartStream {
  readonly modes: ReadonlySet<string>;
  push(chunk: readonly [namespace: readonly string[], mode: string, chunk: unknown]): void;
}

/** What of a node's config leads to the graph around: its saver, who reads along, and the node's place. */
export function aroundOf({ configurable = {} }: NodeConfig): {
  readonly place: PartPlace;
  readonly saver: Checkpointer | undefined;
  readonly stream: PartStream | undefined;
} {
  const isData = ([name, value]: [string, unknown]) => DATA.includes(typeof value) || MAPS.includes(name);
  return {
    place: Object.fromEntries(Object.entries(configurable).filter(isData)),
    saver: configurable[CHECKPOINTER_KEY] as Checkpointer | undefined,
    stream: configurable[STREAM_KEY] as PartStream | undefined,
  };
}

/**
 * `configurable` for a graph that runs as a part of one that is elsewhere, as if it ran in that one's node: it has its
 * checkpoints in the node's namespace, so that it goes on where it was; what it asks, and what it leaves to the
 * graph around by `Command.PARENT`, is thrown, as it is among graphs of one process.
 */
export function partConfigurable(
  place: PartPlace,
  saver: Checkpointer | undefined,
  stream: PartStream | undefined,
): Record<string, unknown> {
  return {
    ...place,
    // That it is there is what tells a graph within from one by itself.
    [READ_KEY]: () => undefined,
    ...(saver !== undefined && { [CHECKPOINTER_KEY]: saver }),
    ...(stream !== undefined && { [STREAM_KEY]: stream }),
  };
}
