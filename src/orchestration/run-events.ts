import type { JsonObject, JsonValue } from '../json.ts';
import type { TaskEvent, TaskInterrupt } from '../queue/task.ts';
import { toPlainJson } from './plain-result.ts';

/** What happens in a run. `namespace` is the path of subgraphs, empty at the top; times are ms since the epoch. */
export type RunEvent =
  | ({ readonly type: 'transition' } & TaskEvent)
  | {
      readonly type: 'node';
      readonly node: string;
      readonly phase: 'started' | 'ended';
      readonly error?: string;
      readonly namespace: readonly string[];
      readonly at: number;
    }
  | {
      readonly type: 'update';
      readonly node: string;
      readonly update: JsonValue;
      readonly namespace: readonly string[];
      readonly at: number;
    }
  | {
      readonly type: 'custom';
      readonly data: JsonValue;
      readonly namespace: readonly string[];
      readonly at: number;
    }
  /** What a model said in a stream; successive pieces of one message may be joined. */
  | {
      readonly type: 'token';
      readonly node: string;
      readonly text: string;
      readonly messageId?: string;
      readonly namespace: readonly string[];
      readonly at: number;
    }
  /** A question at which the run has stopped. */
  | { readonly type: 'interrupt'; readonly id: string; readonly value: JsonValue; readonly at: number }
  /** One call of a model, as its callback tells it. */
  | {
      readonly type: 'usage';
      readonly usage: JsonObject;
      readonly at: number;
    }
  /** This many events were dropped here; of a task, those with the numbers `from` to `to`. */
  | { readonly type: 'gap'; readonly missed: number; readonly from?: number; readonly to?: number }
  /** Only in `stream`: how the run ended. */
  | { readonly type: 'completed'; readonly result: JsonValue; readonly threadId: string }
  | { readonly type: 'waiting'; readonly interrupts: readonly TaskInterrupt[]; readonly threadId: string };

/**
 * An event of a task's life. Numbers rise by one from 1, in one order for transitions and what runs do, the same for
 * every reader; a `gap` has the number of the last event that is missing.
 */
export type TaskLifeEvent = RunEvent & { readonly number: number };

/** Events kept for a reader that does not read; what nodes do on top of it becomes a gap. Transitions and the end always come. */
export const EVENTS_BUFFER_MAX = 1_000;

/** What a reader is given: an event, or that there are no more. */
export type NextEvent = IteratorResult<RunEvent, void>;

type Reader = (next: NextEvent | Promise<NextEvent>) => void;

const OVER: NextEvent = { done: true, value: undefined };

/** A bounded queue of events between a run and one reader. Its writer never waits. */
export class EventBuffer {
  readonly #events: RunEvent[] = [];
  /** Reads that came before their events. */
  readonly #waiting: Reader[] = [];
  #missed = 0;
  #isEnded = false;
  #error: unknown;

  get isEnded(): boolean {
    return this.#isEnded;
  }

  push(event: RunEvent): void {
    if (this.#isEnded) return;
    const reader = this.#waiting.shift();
    if (reader !== undefined) reader({ done: false, value: event });
    else if (isKept(event)) {
      this.#showGap();
      this.#events.push(event);
    } else if (this.#missed > 0 || this.#events.length >= EVENTS_BUFFER_MAX) this.#missed += 1;
    else this.#events.push(event);
  }

  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    for (const reader of this.#waiting.splice(0)) reader(this.#end());
  }

  /** From now on there is nothing more to read. */
  close(): void {
    this.#events.length = 0;
    this.#missed = 0;
    this.end();
    this.#error = undefined;
  }

  /** The next event. Rejects, once, with the error the writer ended with. */
  next(): Promise<NextEvent> {
    if (this.#events.length === 0) this.#showGap();
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#isEnded) return this.#end();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async #end(): Promise<NextEvent> {
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
    return OVER;
  }

  #showGap(): void {
    if (this.#missed === 0) return;
    this.#events.push({ type: 'gap', missed: this.#missed });
    this.#missed = 0;
  }
}

/** How a task or a run goes and ends is never dropped: a task has few transitions, and a run one end. */
function isKept({ type }: RunEvent): boolean {
  return type === 'transition' || type === 'completed' || type === 'waiting';
}

/** A chunk of LangGraph's stream as events. What is no JSON is left out: it is for reading along, not a record. */
export function eventsOf(namespace: readonly string[], mode: string, chunk: unknown, at: number): RunEvent[] {
  if (mode === 'custom') return [{ type: 'custom', data: shown(chunk), namespace, at }];
  if (typeof chunk !== 'object' || chunk === null) return [];
  if (mode === 'messages') return tokenEvents(namespace, chunk as readonly unknown[], at);
  if (mode === 'tasks') return [nodeEvent(namespace, chunk as Record<string, unknown>, at)];
  return Object.entries(chunk)
    .filter(([node]) => node !== '__interrupt__')
    .map(([node, update]) => ({ type: 'update', node, update: shown(update), namespace, at }));
}

interface MessageLike {
  readonly id?: unknown;
  readonly content?: unknown;
  readonly getType?: () => string;
  readonly _getType?: () => string;
}

/** What a model says; messages of people and tools come by the same way. */
function tokenEvents(namespace: readonly string[], chunk: readonly unknown[], at: number): RunEvent[] {
  const [message, metadata] = chunk as [MessageLike | undefined, { langgraph_node?: unknown } | undefined];
  const text = textOf(message?.content);
  if (text === '' || (message?.getType?.() ?? message?._getType?.()) !== 'ai') return [];
  const node = String(metadata?.langgraph_node ?? '');
  const messageId = typeof message?.id === 'string' ? { messageId: message.id } : {};
  return [{ type: 'token', node, text, ...messageId, namespace, at }];
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .map((block: { text?: unknown } | null) => (typeof block?.text === 'string' ? block.text : ''))
    .join('');
}

function nodeEvent(namespace: readonly string[], task: Record<string, unknown>, at: number): RunEvent {
  const { error } = task;
  const phase = error !== undefined || 'result' in task || 'error' in task ? 'ended' : 'started';
  const event = { type: 'node', node: String(task.name), phase, namespace, at } as const;
  return error === undefined || error === null ? event : { ...event, error: errorText(error) };
}

function errorText(error: unknown): string {
  const message: unknown = (error as { message?: unknown }).message;
  return typeof message === 'string' ? message : String(error);
}

function shown(value: unknown): JsonValue {
  try {
    return toPlainJson(value, 'event');
  } catch (error) {
    return { unreadable: error instanceof Error ? error.message : String(error) };
  }
}
