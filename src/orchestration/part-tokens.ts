import { HandlerSettings } from './meter-settings.ts';
import type { PartStream } from './part-graph.ts';

/** The mode of LangGraph's stream in which models are heard. */
export const TOKENS_MODE = 'messages';

type Said = (text: string) => unknown;

interface Speaker {
  readonly namespace: readonly string[];
  readonly metadata: { readonly langgraph_node: string };
  hasSpoken: boolean;
}

/** `place`: the checkpoint namespace of the node that the agent is the work of. */
export async function partTokens(push: PartStream['push'], place: unknown): Promise<PartTokens> {
  const { AIMessageChunk } = await import('@langchain/core/messages');
  return new PartTokens(push, String(place ?? ''), (text) => new AIMessageChunk(text));
}

/**
 * Tells what models say in an agent that is a part of a team elsewhere, as LangGraph's own handler would if it were
 * there: that one stays with the graph around. Models that can stream then do.
 */
class PartTokens extends HandlerSettings {
  readonly name = 'jotty.tokens';
  readonly awaitHandlers = false;
  readonly raiseError = false;
  /** LangChain's name for it. */
  readonly lc_prefer_streaming = true;
  readonly #push: PartStream['push'];
  /** Where an agent without a graph is. */
  readonly #place: string;
  readonly #messageOf: Said;
  readonly #speakers = new Map<string, Speaker>();

  constructor(push: PartStream['push'], place: string, messageOf: Said) {
    super();
    this.#push = push;
    this.#place = place;
    this.#messageOf = messageOf;
  }

  handleChatModelStart(
    ...[, , runId, , , tags, metadata]: [
      llm: unknown,
      messages: unknown,
      runId: string,
      parentRunId?: string,
      extra?: unknown,
      tags?: readonly string[],
      metadata?: Readonly<Record<string, unknown>>,
    ]
  ): void {
    if (tags?.some((tag) => SILENT.has(tag))) return;
    const { langgraph_checkpoint_ns: inner } = metadata ?? {};
    const path = String(inner ?? this.#place).split('|');
    const [node = ''] = path.at(-1)!.split(':');
    this.#speakers.set(runId, {
      namespace: path.slice(0, -1),
      metadata: { langgraph_node: String(metadata?.langgraph_node ?? node) },
      hasSpoken: false,
    });
  }

  handleLLMNewToken(
    ...[text, , runId, , , fields]: [
      text: string,
      index: unknown,
      runId: string,
      parentRunId?: string,
      tags?: readonly string[],
      fields?: { readonly chunk?: { readonly message?: unknown } },
    ]
  ): void {
    this.#say(runId, fields?.chunk?.message ?? this.#messageOf(text));
  }

  handleLLMEnd(output: unknown, runId: string): void {
    const { generations } = output as { readonly generations?: readonly (readonly Generation[])[] };
    const whole = generations?.[0]?.[0]?.message;
    if (whole !== undefined && this.#speakers.get(runId)?.hasSpoken === false) this.#say(runId, whole);
    this.#speakers.delete(runId);
  }

  handleLLMError(_error: unknown, runId: string): void {
    this.#speakers.delete(runId);
  }

  #say(runId: string, message: unknown): void {
    const speaker = this.#speakers.get(runId);
    if (speaker === undefined) return;
    speaker.hasSpoken = true;
    this.#push([speaker.namespace, TOKENS_MODE, [message, speaker.metadata]]);
  }
}

interface Generation {
  readonly message?: unknown;
}

/** LangGraph's tags for models that nobody is to hear. */
const SILENT: ReadonlySet<string> = new Set(['nostream', 'langsmith:nostream']);
