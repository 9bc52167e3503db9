/** A log keeps the newest entries: of so many, a page that holds none of them is dropped. */
export const LOG_ENTRIES_MAX = 5_000;
/** And so many bytes of text, but always the newest page. */
export const LOG_BYTES_MAX = 512 * 1024;

/** Entries of a task's log that are written together. The store never looks into them. */
export interface LogPage {
  readonly count: number;
  /** Empty where the entries were lost before they could be written: they keep their numbers. */
  readonly text: string;
}

/** A page as it is kept. Entries are numbered from 1, over all pages of a task, and never anew. */
export interface KeptPage extends LogPage {
  readonly first: number;
}

/** The entries from `first` on came after the task's transition `seq`, and before its next one. */
export interface LogStart {
  readonly seq: number;
  readonly first: number;
}

export interface TaskLog {
  /** How many entries there ever were. */
  readonly total: number;
  /** In order, one for each transition that entries came after; the newest HISTORY_EVENTS_MAX of them. */
  readonly starts: readonly LogStart[];
  /** In order; those that were dropped are missing. */
  readonly pages: readonly KeptPage[];
}

export const NO_LOG: TaskLog = { total: 0, starts: [], pages: [] };

/** `seq:first seq:first`, as starts are stored. */
export function startsText(starts: readonly LogStart[]): string {
  return starts.map(({ seq, first }) => `${seq}:${first}`).join(' ');
}

export function parseStarts(text: string): LogStart[] {
  if (text === '') return [];
  return text.split(' ').map((start) => {
    const [seq, first] = start.split(':');
    return { seq: Number(seq), first: Number(first) };
  });
}
