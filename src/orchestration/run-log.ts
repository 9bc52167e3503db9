import type { LogPage } from '../queue/task-log.ts';
import type { RunEvent } from './run-events.ts';

/**
 * Events of a run that wait to be written; what comes on top of them is lost, and shows as a gap. Of nodes, questions
 * and usage twice as many are kept: a flood of chunks does not take them along.
 */
export const RUN_LOG_EVENTS_MAX = 1_000;
/** An event with more text is recorded without what it carries, chars. */
export const EVENT_CHARS_MAX = 16 * 1024;
/** A page is closed when it has this much text, chars. */
const PAGE_CHARS = 64 * 1024;

/** What happens in one run of a task, until it is written to the task's log. Nobody who adds to it ever waits. */
export class RunLog {
  readonly taskId: string;
  readonly fence: number;
  readonly #onPending: (log: RunLog) => void;
  /** Came back from a write that failed. */
  #unwritten: LogPage[] = [];
  #events: RunEvent[] = [];
  #waiting = 0;
  #writing: Promise<void> | undefined;
  #isClosed = false;

  constructor(taskId: string, fence: number, onPending: (log: RunLog) => void) {
    this.taskId = taskId;
    this.fence = fence;
    this.#onPending = onPending;
  }

  record(event: RunEvent): void {
    if (this.#isClosed || this.#joins(event)) return;
    const max = CHUNKS.has(event.type) ? RUN_LOG_EVENTS_MAX : 2 * RUN_LOG_EVENTS_MAX;
    if (this.#waiting >= max) {
      this.#lose();
      return;
    }
    this.#events.push(event);
    this.#waiting += 1;
    if (this.#waiting === 1) this.#onPending(this);
  }

  /** Writes what waits, unless a write is under way. `write` says whether the run still is its task's. */
  flush(write: (pages: readonly LogPage[]) => Promise<boolean>): Promise<void> {
    this.#writing ??= this.#flush(write).finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  /** What is left to be written with the run's end; undefined where it is nothing. */
  rest(): LogPage[] | undefined | Promise<LogPage[] | undefined> {
    return this.#writing === undefined ? this.#rest() : this.#writing.then(() => this.#rest());
  }

  /** From now on nothing is recorded: a run that was aborted may go on as a zombie. */
  close(): void {
    this.#isClosed = true;
    this.#unwritten = [];
    this.#events = [];
  }

  async #flush(write: (pages: readonly LogPage[]) => Promise<boolean>): Promise<void> {
    const pages = this.#take();
    if (pages.length === 0) return;
    try {
      if (!(await write(pages))) this.close();
    } catch {
      // The store is away, or closed: they go with what comes next.
      this.#unwritten = pages;
      this.#waiting += pages.reduce((sum, { count, text }) => sum + (text === '' ? 0 : count), 0);
    }
    if (this.#waiting > 0 && !this.#isClosed) this.#onPending(this);
  }

  #rest(): LogPage[] | undefined {
    const pages = this.#take();
    return pages.length === 0 ? undefined : pages;
  }

  #take(): LogPage[] {
    const pages = [...this.#unwritten, ...toPages(this.#events)];
    this.#unwritten = [];
    this.#events = [];
    this.#waiting = 0;
    return pages;
  }

  #lose(): void {
    const last = this.#events.at(-1);
    if (last?.type === 'gap')
      this.#events[this.#events.length - 1] = { type: 'gap', missed: last.missed + 1 };
    else this.#events.push({ type: 'gap', missed: 1 });
  }

  /** The next piece of what a model says makes one event with the last. */
  #joins(event: RunEvent): boolean {
    const last = this.#events.at(-1);
    if (event.type !== 'token' || last?.type !== 'token') return false;
    if (event.messageId !== last.messageId || event.node !== last.node) return false;
    if (event.namespace.join() !== last.namespace.join()) return false;
    if (last.text.length + event.text.length > EVENT_CHARS_MAX / 2) return false;
    this.#events[this.#events.length - 1] = { ...last, text: last.text + event.text };
    return true;
  }
}

const CHUNKS: ReadonlySet<RunEvent['type']> = new Set(['custom', 'token', 'update']);

function toPages(events: readonly RunEvent[]): LogPage[] {
  const pages: LogPage[] = [];
  let lines: string[] = [];
  let chars = 0;
  const close = () => {
    if (lines.length > 0) pages.push({ count: lines.length, text: lines.join('\n') });
    lines = [];
    chars = 0;
  };
  for (const event of events) {
    if (event.type === 'gap') {
      close();
      pages.push({ count: event.missed, text: '' });
      continue;
    }
    const line = lineOf(event);
    lines.push(line);
    chars += line.length;
    if (chars >= PAGE_CHARS) close();
  }
  close();
  return pages;
}

/** JSON escapes line breaks, so a line is an event. Those of nodes, which are most, are written by hand: a fifth of the time. */
function lineOf(event: RunEvent): string {
  if (event.type === 'node' && event.error === undefined) {
    const { node, phase, namespace, at } = event;
    const path = namespace.length === 0 ? '[]' : JSON.stringify(namespace);
    return `{"type":"node","node":${JSON.stringify(node)},"phase":"${phase}","namespace":${path},"at":${at}}`;
  }
  const line = JSON.stringify(event);
  return line.length <= EVENT_CHARS_MAX ? line : JSON.stringify(withoutLoad(event));
}

function withoutLoad(event: RunEvent): RunEvent {
  const load = { unreadable: `more than ${EVENT_CHARS_MAX} characters (EVENT_CHARS_MAX)` };
  switch (event.type) {
    case 'custom':
      return { ...event, data: load };
    case 'update':
      return { ...event, update: load };
    case 'interrupt':
      return { ...event, value: load };
    case 'usage':
      return { ...event, usage: load };
    case 'token':
      return { ...event, text: event.text.slice(0, EVENT_CHARS_MAX / 4).toWellFormed() };
    case 'node':
      return { ...event, error: (event.error ?? '').slice(0, EVENT_CHARS_MAX / 4).toWellFormed() };
    default:
      return event;
  }
}
