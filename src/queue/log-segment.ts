import type { LogPage, TaskLog } from './task-log.ts';
import type { TaskStore } from './task-store.ts';

/** So many pages are read at a time: at most LOG_BYTES_MAX of text. */
const PAGES_MAX = 10_000;

/** When the runs of a task added to its log; the pages themselves are not read. */
export function logHead(store: TaskStore, id: string): Promise<TaskLog> {
  return store.log(id, 0, 0);
}

/** What was added between the transition before `seq` and that one, what was dropped as lost; undefined for nothing. */
export async function logBefore(
  store: TaskStore,
  id: string,
  { starts, total }: TaskLog,
  seq: number,
): Promise<LogPage[] | undefined> {
  const at = starts.findIndex((start) => start.seq === seq - 1);
  const start = starts[at];
  if (start === undefined) return undefined;
  const end = starts[at + 1]?.first ?? total + 1;
  const pages: LogPage[] = [];
  let next = start.first;
  for (const { first, count, text } of (await store.log(id, start.first - 1, PAGES_MAX)).pages) {
    if (first >= end) break;
    if (first > next) pages.push({ count: first - next, text: '' });
    pages.push({ count, text });
    next = first + count;
  }
  if (next < end) pages.push({ count: end - next, text: '' });
  return pages;
}
