import { isLeased } from '../../task.ts';
import {
  type KeptPage,
  LOG_BYTES_MAX,
  LOG_ENTRIES_MAX,
  type LogPage,
  type LogStart,
  NO_LOG,
  type TaskLog,
} from '../../task-log.ts';
import { HISTORY_EVENTS_MAX, type Logging } from '../../task-store.ts';
import type { MemoryEntry } from './memory-entry.ts';

interface Log {
  total: number;
  bytes: number;
  readonly starts: LogStart[];
  readonly pages: KeptPage[];
}

/** The logs of the tasks that have one. */
export class MemoryLogs {
  readonly #byId = new Map<string, Log>();

  /** False where the task is not leased with this fence. */
  add(entry: MemoryEntry | undefined, { fence, pages }: Logging): boolean {
    if (!entry || !isLeased(entry.record.status) || entry.record.fence !== fence) return false;
    this.append(entry, pages);
    return true;
  }

  append({ record }: MemoryEntry, pages: readonly LogPage[]): void {
    let log = this.#byId.get(record.id);
    if (log === undefined) {
      log = { total: 0, bytes: 0, starts: [], pages: [] };
      this.#byId.set(record.id, log);
    }
    if (log.starts.at(-1)?.seq !== record.events) {
      log.starts.push({ seq: record.events, first: log.total + 1 });
      if (log.starts.length > HISTORY_EVENTS_MAX) log.starts.shift();
    }
    for (const { count, text } of pages) {
      log.pages.push({ first: log.total + 1, count, text });
      log.total += count;
      log.bytes += Buffer.byteLength(text);
    }
    dropOldest(log);
  }

  read(id: string, after: number, limit: number): TaskLog {
    const log = this.#byId.get(id);
    if (log === undefined) return NO_LOG;
    const from = log.pages.findIndex(({ first, count }) => first + count - 1 > after);
    const pages = from === -1 ? [] : log.pages.slice(from, from + limit);
    return { total: log.total, starts: [...log.starts], pages };
  }

  remove(id: string): void {
    this.#byId.delete(id);
  }
}

function dropOldest(log: Log): void {
  while (log.pages.length > 1) {
    const { first, count, text } = log.pages[0]!;
    if (first + count - 1 > log.total - LOG_ENTRIES_MAX && log.bytes <= LOG_BYTES_MAX) return;
    log.pages.shift();
    log.bytes -= Buffer.byteLength(text);
  }
}
