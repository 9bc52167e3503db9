import type { Clock } from '../clock.ts';
import { PassingMap } from '../queue/passing-map.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { RunEvent } from './run-events.ts';
import { RunLog } from './run-log.ts';

/** How long events of a run wait for others before they are written, ms. */
export const EVENTS_FLUSH_MS = 50;

/** What is recorded of runs beside nodes, custom chunks, interrupts and usage, which cost next to nothing. */
export interface RecordOptions {
  /** The pieces of what models say; models then stream where they can, and a run costs up to half more. @default false */
  readonly tokens?: boolean | undefined;
  /** What each node gave to the state, up to EVENT_CHARS_MAX of it. @default false */
  readonly updates?: boolean | undefined;
}

interface Reader extends RecordOptions {
  readonly onNews: () => void;
}

interface OpenLog {
  readonly log: RunLog;
  readonly queue: TaskQueue;
}

/**
 * The runs of this process, and who reads along here. Events gather in the process and are written behind the run:
 * those of all runs together, every EVENTS_FLUSH_MS, and the last of a run in the same step as its end. So a reader
 * that sees the end has seen everything before it, most runs cost no write of their own, and no node ever waits.
 */
export class RunLogs {
  readonly #clock: Clock;
  readonly #recorded: RecordOptions;
  readonly #wantedOfAll: { readonly tokens: boolean; readonly updates: boolean };
  readonly #open = new PassingMap<string, OpenLog>();
  readonly #pending = new Set<RunLog>();
  readonly #readers = new Map<string, Set<Reader>>();
  #timer: unknown;

  constructor(clock: Clock, recorded: RecordOptions = {}) {
    this.#clock = clock;
    this.#recorded = recorded;
    this.#wantedOfAll = { tokens: recorded.tokens === true, updates: recorded.updates === true };
  }

  /** A run of the task begins; its fence keeps earlier ones from writing. */
  open(queue: TaskQueue, taskId: string, fence: number): RunLog {
    const log = new RunLog(taskId, fence, this.#onPending);
    this.#open.set(taskId, { log, queue });
    return log;
  }

  close(log: RunLog): void {
    log.close();
    this.#pending.delete(log);
    if (this.#open.get(log.taskId)?.log === log) this.#open.delete(log.taskId);
  }

  /**
   * Adds an event to those of the run that this process has of the task; nothing happens where it has none. Whoever
   * sees something of a run that its graph's stream does not tell, as the usage of models, calls this.
   */
  record(taskId: string, event: RunEvent): void {
    this.#open.get(taskId)?.log.record(event);
  }

  /** What a run that begins now is to record: what the conductor says, or a reader of this process wants. */
  wanted(taskId: string): { readonly tokens: boolean; readonly updates: boolean } {
    const readers = this.#readers.get(taskId);
    if (readers === undefined) return this.#wantedOfAll;
    const all = [this.#recorded, ...readers];
    return {
      tokens: all.some(({ tokens }) => tokens === true),
      updates: all.some(({ updates }) => updates === true),
    };
  }

  /** Tells when events of the task were written here. */
  follow(taskId: string, reader: Reader): () => void {
    const readers = this.#readers.get(taskId) ?? new Set();
    readers.add(reader);
    this.#readers.set(taskId, readers);
    return () => {
      readers.delete(reader);
      if (readers.size === 0) this.#readers.delete(taskId);
    };
  }

  readonly #onPending = (log: RunLog): void => {
    this.#pending.add(log);
    this.#timer ??= this.#clock.setTimeout(this.#flush, EVENTS_FLUSH_MS);
  };

  readonly #flush = (): void => {
    this.#timer = undefined;
    const pending = [...this.#pending];
    this.#pending.clear();
    for (const log of pending) void this.#flushOne(log);
  };

  async #flushOne(log: RunLog): Promise<void> {
    const open = this.#open.get(log.taskId);
    if (open?.log !== log) return;
    const { taskId, fence } = log;
    await log.flush(
      async (pages) => (await open.queue.appendLogs([{ id: taskId, fence, pages }]))[0] === true,
    );
    for (const { onNews } of this.#readers.get(taskId) ?? []) onNews();
  }
}
