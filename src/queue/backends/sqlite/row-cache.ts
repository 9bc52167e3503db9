import { PassingMap } from '../../passing-map.ts';
import type { TaskRow } from './task-row.ts';

const CACHED_ROWS_MAX = 2_000;
/** Characters of JSON kept, about 16 MiB at most. */
const CACHED_CHARACTERS_MAX = 8 * 1024 * 1024;

/**
 * Rows this process has leased, as they were committed. A version stands for one content, so a change of the
 * cached version needs no look at the row before it is written; the write itself checks the version.
 */
export class RowCache {
  readonly #rows = new PassingMap<string, TaskRow>();
  #characters = 0;

  /** The row of this id, if it is cached in this very version. */
  get(id: string, version: number): TaskRow | undefined {
    const row = this.#rows.get(id);
    return row?.record.version === version ? row : undefined;
  }

  put(row: TaskRow): void {
    const { id } = row.record;
    this.delete(id);
    // A copy: the record itself belongs to the caller.
    this.#rows.set(id, { ...row, record: { ...row.record } });
    this.#characters += sizeOf(row);
    while (this.#rows.size > CACHED_ROWS_MAX || this.#characters > CACHED_CHARACTERS_MAX) this.#dropOldest();
  }

  delete(id: string): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#rows.delete(id);
    this.#characters -= sizeOf(row);
  }

  #dropOldest(): void {
    for (const id of this.#rows.keys()) {
      this.delete(id);
      return;
    }
  }
}

function sizeOf({ record }: TaskRow): number {
  return record.submission.length + (record.result?.length ?? 0) + (record.details?.length ?? 0);
}
