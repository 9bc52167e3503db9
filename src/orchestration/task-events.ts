/*
 * A task's life as one numbered stream.
 *
 * Its transitions are in its history, numbered by the store; what its runs do is in its log (task-log.ts), numbered
 * by itself, with the transition that each entry came after. From these two every reader computes one order: the
 * transition `seq` has the number seq + the entries before it, the entry n that came after the transition `seq` has
 * n + seq. So a transition costs nothing more than it did, the numbers have no holes, and they never change, also
 * when old entries are dropped, which then shows as a gap.
 *
 * Readers pull: each reads the store from its last number on, when there is news and when it is ready for more. A
 * slow one delays nobody and holds nothing; what is dropped before it comes there is its gap.
 */
import { TaskNotFoundError } from '../errors.ts';
import { isEnded, type TaskEvent } from '../queue/task.ts';
import type { TaskLog } from '../queue/task-log.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import type { RunEvent, TaskLifeEvent } from './run-events.ts';
import type { RecordOptions, RunLogs } from './run-logs.ts';
import { Wakeup } from './wakeup.ts';

/** How often a task is looked at where no hint of a change came, ms. */
const POLL_MS = 1_000;
/** Pages of a log that are read at a time. */
const PAGES_READ = 50;

export interface EventsOptions extends RecordOptions {
  /** Goes on after the event of this number. @default 0, from the first that is kept */
  readonly since?: number | undefined;
  /** Ends the stream with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Ends with the task's end. @throws TaskNotFoundError */
export async function* taskEvents(
  queue: TaskQueue,
  logs: RunLogs,
  taskId: string,
  { since = 0, signal, ...wanted }: EventsOptions,
): AsyncGenerator<TaskLifeEvent> {
  const wakeup = new Wakeup(queue.clock);
  const onNews = () => wakeup.notify();
  const undo = [
    logs.follow(taskId, { ...wanted, onNews }),
    queue.on('available', onNews),
    queue.on('transition', (event) => {
      if (event.taskId === taskId) onNews();
    }),
  ];
  signal?.addEventListener('abort', onNews, { once: true });
  const life = new TaskLife(queue, taskId, since);
  try {
    while (!life.isOver) {
      signal?.throwIfAborted();
      const events = await life.more();
      for (const event of events) yield event;
      if (!life.isOver && !life.hasMore) await wakeup.wait(POLL_MS);
    }
  } finally {
    signal?.removeEventListener('abort', onNews);
    for (const off of undo) off();
  }
}

/** Where one reader stands. */
class TaskLife {
  readonly #queue: TaskQueue;
  readonly #taskId: string;
  /** The last number that was read, or is not wanted. */
  #number: number;
  /** The last transition and the last entry of the log that were read. */
  #seq = 0;
  #entry = 0;
  hasMore = false;
  isOver = false;

  constructor(queue: TaskQueue, taskId: string, since: number) {
    this.#queue = queue;
    this.#taskId = taskId;
    this.#number = since;
  }

  /** The next events; none while the store is away, or nothing happens. */
  async more(): Promise<TaskLifeEvent[]> {
    try {
      // In this order: all entries that came before the last of these transitions are in the log that is read after them.
      const history = await this.#queue.history(this.#taskId);
      if (history.length === 0) throw new TaskNotFoundError(this.#taskId);
      return this.#take(history, await this.#queue.log(this.#taskId, this.#entry, PAGES_READ));
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'STORE_UNAVAILABLE') throw error;
      this.hasMore = false;
      return [];
    }
  }

  #take(history: readonly TaskEvent[], log: TaskLog): TaskLifeEvent[] {
    const last = history.at(-1)!;
    this.hasMore = log.pages.length === PAGES_READ;
    const entries = this.#entriesOf(log, last.seq);
    // Behind the last page that was read there may be entries before the next transition.
    const end = this.hasMore ? (entries.at(-1)?.number ?? 0) : Number.POSITIVE_INFINITY;
    const transitions = history
      .filter(({ seq }) => seq > this.#seq)
      .map((event) => ({
        type: 'transition' as const,
        ...event,
        number: event.seq + entriesBefore(log, event.seq),
      }))
      .filter(({ number }) => number <= end);
    this.#seq = transitions.at(-1)?.seq ?? this.#seq;
    this.isOver = isEnded(last.to) && !this.hasMore;
    return this.#withGaps([...transitions, ...entries].sort((a, b) => a.number - b.number));
  }

  /** Not yet those that came after a transition which was not read. */
  #entriesOf({ starts, pages }: TaskLog, seqMax: number): TaskLifeEvent[] {
    const events: TaskLifeEvent[] = [];
    for (const { first, count, text } of pages) {
      const lines = text === '' ? [] : text.split('\n');
      for (let i = 0; i < count; i++) {
        const entry = first + i;
        if (entry <= this.#entry) continue;
        const seq = starts.findLast((start) => start.first <= entry)?.seq ?? 0;
        if (seq > seqMax) {
          this.hasMore = false;
          return events;
        }
        this.#entry = entry;
        const line = lines[i];
        if (line !== undefined) events.push({ ...(JSON.parse(line) as RunEvent), number: entry + seq });
      }
    }
    return events;
  }

  #withGaps(events: readonly TaskLifeEvent[]): TaskLifeEvent[] {
    const shown: TaskLifeEvent[] = [];
    for (const event of events) {
      if (event.number <= this.#number) continue;
      const from = this.#number + 1;
      const to = event.number - 1;
      if (to >= from) shown.push({ type: 'gap', missed: to - from + 1, from, to, number: to });
      shown.push(event);
      this.#number = event.number;
    }
    return shown;
  }
}

/** How many entries came before the transition. */
function entriesBefore({ total, starts }: TaskLog, seq: number): number {
  const next = starts.find((start) => start.seq >= seq);
  return next === undefined ? total : next.first - 1;
}
