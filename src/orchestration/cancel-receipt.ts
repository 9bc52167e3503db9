import type { EndStatus } from '../queue/task.ts';
import type { Account } from './account.ts';
import type { CheckpointRecord, GraphConfig } from './graph.ts';
import type { BodyEnd } from './run-body.ts';

export interface CancelOptions {
  /**
   * How long a run may go on after its signal, ms: then its slot is taken back, and an isolated one is killed.
   * @default 5_000
   */
  readonly graceMs?: number | undefined;
  readonly reason?: string | undefined;
}

/**
 * What became of the run of a cancelled task. `none`: there was none. `ended`: it stopped within its grace. `killed`:
 * its thread or process was. `abandoned`: it ignores its signal and cannot be killed; it has no slot any more, and
 * whatever it still writes is refused. `lost`: nobody was left to say; its lease has ended since. `unknown`: the task
 * was cancelled before, without waiting for its run.
 */
export type RunStop = 'none' | BodyEnd | 'lost' | 'unknown';

/** A tool that a model has called for in the task, in whichever attempt. */
export interface ToolCallSeen {
  readonly id?: string;
  readonly name: string;
  /** Whether its result is in the state. One without may have run, and have had its effect. */
  readonly answered: boolean;
}

/** Of the model calls of all attempts; where none was counted, of those whose messages are in the state. */
export interface TokensSpent {
  readonly input: number;
  readonly output: number;
  readonly total: number;
}

export interface CancelReceipt {
  readonly id: string;
  /** `cancelled`, or how the task had ended before; `purged` where nobody knows any more. */
  readonly status: EndStatus | 'purged';
  readonly reason?: string;
  readonly run: RunStop;
  /** Whoever ran it, as in its lease. */
  readonly worker?: string;
  /** The last one of its thread. Nothing is added to it any more. */
  readonly checkpointId?: string;
  readonly toolCalls: readonly ToolCallSeen[];
  /** Of the task itself, without its children. Absent where nothing tells. */
  readonly tokens?: TokensSpent;
  /** Of the tasks that it had enqueued, each with its own below. */
  readonly children: readonly CancelReceipt[];
}

/** What a thread's last checkpoints show. */
export interface ThreadTrace {
  readonly checkpointId?: string;
  readonly toolCalls: readonly ToolCallSeen[];
  readonly tokens?: TokensSpent;
}

/** The newest checkpoints of a thread are looked at, for those of its subgraphs. */
const CHECKPOINTS_MAX = 100;

/** The part of a saver that lists. */
interface Lister {
  list?(config: GraphConfig, options: { readonly limit: number }): AsyncIterable<Listed>;
}
interface Listed extends CheckpointRecord {
  readonly config: GraphConfig;
}

/** A message, by its shape: an app may have its own copy of the classes. */
interface Message {
  readonly id?: string;
  readonly tool_call_id?: string;
  readonly tool_calls?: readonly { readonly id?: string; readonly name: string }[];
  readonly usage_metadata?: {
    readonly input_tokens?: number;
    readonly output_tokens?: number;
    readonly total_tokens?: number;
  };
}

/** Reads from the messages in a thread's state what its models have called for, and what they have spent. */
export async function traceOf(saver: unknown, threadId: string): Promise<ThreadTrace> {
  const newest = new Map<string, Listed>();
  const lister = saver as Lister;
  if (lister.list === undefined) return { toolCalls: [] };
  const config = { configurable: { thread_id: threadId } };
  for await (const found of lister.list(config, { limit: CHECKPOINTS_MAX })) {
    const namespace = String(found.config.configurable.checkpoint_ns ?? '');
    if (!newest.has(namespace)) newest.set(namespace, found);
  }
  const root = newest.get('')?.config.configurable.checkpoint_id;
  return {
    ...(typeof root === 'string' && { checkpointId: root }),
    ...seenIn(messagesOf([...newest.values()])),
  };
}

/** What calls of models were counted for; undefined where none was. */
export function spentIn(account: Account | null): TokensSpent | undefined {
  if (account === null || account.own.modelCalls === 0) return undefined;
  const { inputTokens, outputTokens, tokens } = account.own;
  return { input: inputTokens, output: outputTokens, total: tokens };
}

function seenIn(messages: readonly Message[]): Omit<ThreadTrace, 'checkpointId'> {
  const answered = new Set(messages.map(({ tool_call_id }) => tool_call_id));
  const toolCalls = messages.flatMap(({ tool_calls = [] }) =>
    tool_calls.map(({ id, name }) => ({ ...(id !== undefined && { id }), name, answered: answered.has(id) })),
  );
  const usages = messages.flatMap(({ usage_metadata }) => usage_metadata ?? []);
  if (usages.length === 0) return { toolCalls };
  const sum = (count: (usage: (typeof usages)[number]) => number | undefined) =>
    usages.reduce((total, usage) => total + (count(usage) ?? 0), 0);
  const tokens = {
    input: sum(({ input_tokens }) => input_tokens),
    output: sum(({ output_tokens }) => output_tokens),
    total: sum(({ total_tokens }) => total_tokens),
  };
  return { toolCalls, tokens };
}

/** Each message once, though a graph and those within it share most of theirs. */
function messagesOf(checkpoints: readonly Listed[]): Message[] {
  const byId = new Map<unknown, Message>();
  for (const { checkpoint, pendingWrites = [] } of checkpoints) {
    const values = [
      ...Object.values(checkpoint.channel_values ?? {}),
      ...pendingWrites.map(([, , value]) => value),
    ];
    for (const message of values.flat()) if (isMessage(message)) byId.set(message.id ?? message, message);
  }
  return [...byId.values()];
}

function isMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null) return false;
  return typeof (value as { getType?: unknown }).getType === 'function';
}
