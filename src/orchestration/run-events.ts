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
  /** One call of a model, as its callback tells it. */
  | {
      readonly type: 'usage';
      readonly usage: JsonObject;
      readonly at: number;
    }
  /** The reader was too slow: this many events were dropped here. */
  | { readonly type: 'gap'; readonly missed: number }
  /** Only in `stream`: how the run ended. */
  | { readonly type: 'completed'; readonly result: JsonValue; readonly threadId: string }
  | { readonly type: 'waiting'; readonly interrupts: readonly TaskInterrupt[]; readonly threadId: string };

/** Events kept for a reader that does not read; what nodes do on top of it becomes a gap. Transitions and the end always come. */
export const EVENTS_BUFFER_MAX = 1_000;

/** A bounded queue of events between a run and one reader. Its writer never waits. */
export class EventBuffer {
  readonly #events: RunEvent[] = [];
  #missed = 0;
  #isEnded = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  push(event: RunEvent): void {
    if (this.#isEnded) return;
    if (isKept(event)) {
      this.#showGap();
      this.#events.push(event);
    } else if (this.#missed > 0 || this.#events.length >= EVENTS_BUFFER_MAX) this.#missed += 1;
    else this.#events.push(event);
    this.#wake?.();
  }

  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    this.#wake?.();
  }

  /** The next event; null at the end. Rejects with the error the writer ended with. */
  async next(): Promise<RunEvent | null> {
    for (;;) {
      const event = this.#take();
      if (event !== undefined) return event;
      if (this.#isEnded) {
        if (this.#error !== undefined) throw this.#error;
        return null;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  #take(): RunEvent | undefined {
    if (this.#events.length === 0) this.#showGap();
    return this.#events.shift();
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

/** Brings what runs in this process do to those who read along. */
export class RunEventHub {
  readonly #readers = new Map<string, Set<EventBuffer>>();

  hasReaders(taskId: string): boolean {
    return this.#readers.has(taskId);
  }

  /**
   * Adds an event to those of the run that this process has of the task; nothing happens where it has none. Whoever
   * sees something of a run that its graph's stream does not tell, as the usage of models, calls this.
   */
  record(taskId: string, event: RunEvent): void {
    if (this.hasReaders(taskId)) this.publish(taskId, [event]);
  }

  publish(taskId: string, events: readonly RunEvent[]): void {
    for (const reader of this.#readers.get(taskId) ?? []) for (const event of events) reader.push(event);
  }

  subscribe(taskId: string, reader: EventBuffer): () => void {
    const readers = this.#readers.get(taskId) ?? new Set();
    readers.add(reader);
    this.#readers.set(taskId, readers);
    return () => {
      readers.delete(reader);
      if (readers.size === 0) this.#readers.delete(taskId);
    };
  }
}

/** A chunk of LangGraph's stream as events. What is no JSON is left out: it is for reading along, not a record. */
export function eventsOf(namespace: readonly string[], mode: string, chunk: unknown, at: number): RunEvent[] {
  if (mode === 'custom') return [{ type: 'custom', data: shown(chunk), namespace, at }];
  if (typeof chunk !== 'object' || chunk === null) return [];
  if (mode === 'tasks') return [nodeEvent(namespace, chunk as Record<string, unknown>, at)];
  return Object.entries(chunk)
    .filter(([node]) => node !== '__interrupt__')
    .map(([node, update]) => ({ type: 'update', node, update: shown(update), namespace, at }));
}

function nodeEvent(namespace: readonly string[], task: Record<string, unknown>, at: number): RunEvent {
  const error = task.error === undefined || task.error === null ? {} : { error: errorText(task.error) };
  const phase = 'result' in task || 'error' in task ? 'ended' : 'started';
  return { type: 'node', node: String(task.name), phase, ...error, namespace, at };
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
