import type { JsonValue } from '../json.ts';
import type { Travel } from './graph-travel.ts';
import type { PartPlace } from './part-graph.ts';
import type { TeamOffer } from './team-input.ts';
import type { WireError } from './wire-error.ts';

/**
 * What a conductor and an isolated agent say to each other. State, with its messages and dates, goes as the text
 * that checkpoints are stored as; nothing else than data crosses, and nothing of it is code.
 */
export type ToWorker =
  | RunMessage
  /** The answer to the call of this number. */
  | {
      readonly type: 'reply';
      readonly call: number;
      readonly value?: string | undefined;
      readonly error?: WireError | undefined;
    }
  | { readonly type: 'abort'; readonly error: WireError }
  | { readonly type: 'drain'; readonly reason: string }
  /** So many more chunks may come. */
  | { readonly type: 'taken'; readonly chunks: number };

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'call'; readonly call: number; readonly method: string; readonly args: string }
  | {
      readonly type: 'chunk';
      readonly mode: string;
      readonly namespace: readonly string[];
      readonly chunk: string;
    }
  /** Of the model call of this number: its stream is read. */
  | { readonly type: 'token'; readonly runId: string }
  | { readonly type: 'spend'; readonly key: string; readonly weight: number }
  | { readonly type: 'end'; readonly end?: string | undefined; readonly error?: WireError | undefined }
  /** None of its code runs any more: it may be given another run. */
  | { readonly type: 'idle' };

export interface RunMessage {
  readonly type: 'run';
  readonly url: string;
  readonly export: string;
  /** Text of a RunData. */
  readonly data: string;
}

/** One run, as data. */
export interface RunData {
  /** Of AttemptInfo, what is data. */
  readonly info: Readonly<Record<string, JsonValue>>;
  readonly hasChildren: boolean;
  readonly effects: readonly JsonValue[];
  readonly answers: readonly JsonValue[];
  readonly task: Readonly<Record<string, JsonValue>>;
  /** In place of the task's, of an agent that is called as part of another. */
  readonly call?: PartCall;
  /** In place of the task's, where somebody goes back in its checkpoints. */
  readonly travel?: Travel;
  readonly isSaverFenced: boolean;
  readonly sharedBy?: string;
  readonly fenced: boolean;
  readonly startsAgain: boolean;
  readonly goal?: string;
  readonly replaces?: readonly string[];
  /** Whether somebody counts calls of models, supersteps, and what a team may spend. */
  readonly isMetered: boolean;
  readonly countsSteps: boolean;
  readonly boundsTeam: boolean;
  /** What those who count know the agent by, of one that is called as part of another. */
  readonly metadata?: Readonly<Record<string, JsonValue>>;
  readonly streams: boolean;
  readonly streamsTokens: boolean;
  readonly streamsUpdates: boolean;
  readonly tellsCustom: boolean;
}

/** A part of a team's graph. */
export interface PartCall {
  readonly offer: TeamOffer;
  readonly place: PartPlace;
  readonly hasSaver: boolean;
  /** Of LangGraph's chunks, what somebody reads. */
  readonly modes: readonly string[];
}

/** More chunks than this are not on their way at a time: what a reader cannot take is left out, and the run goes on. */
export const CHUNKS_MAX = 1_000;
