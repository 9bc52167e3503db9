import type {
  BlobRow,
  CheckpointKey,
  CheckpointQuery,
  CheckpointRow,
  CheckpointRows,
  Serialized,
  WriteRow,
} from './checkpoint-rows.ts';
import { MemoryRows } from './memory-rows.ts';
import type { ThreadCall } from './redis-exchange.ts';
import { blobName, blobValueOf, fieldOf, linesOf, recordOf } from './redis-fields.ts';

interface WriteCall extends ThreadCall {
  fence: number | undefined;
  readonly parts: (string | number)[];
}

/**
 * Rows that note what is written, to be sent; there is nothing to read in them. The stored fence is compared by the
 * script, in the atomic step of the writes.
 */
export class NotedWrites implements CheckpointRows {
  /** One for each thread, see lua/write.lua. */
  readonly calls: WriteCall[] = [];

  find(): undefined {}

  list(): [] {
    return [];
  }

  blob(): undefined {}

  writes(): [] {
    return [];
  }

  fence(): undefined {}

  deleteCheckpoint(): never {
    throw new TypeError('pruning goes another way');
  }

  deleteBlob(): never {
    throw new TypeError('pruning goes another way');
  }

  setFence(threadId: string, fence: number): void {
    this.#callOf(threadId).fence = fence;
  }

  insert(row: CheckpointRow, blobs: readonly BlobRow[]): void {
    const { parts } = this.#callOf(row.threadId);
    parts.push('put', fieldOf(row.namespace), fieldOf(row.checkpointId), recordOf(row), blobs.length);
    for (const blob of blobs) parts.push(blobName(blob.channel, blob.version), blobValueOf(blob));
  }

  insertWrites(key: CheckpointKey, rows: readonly WriteRow[]): void {
    const { parts } = this.#callOf(key.threadId);
    for (const [taskId, ofTask] of byTask(rows)) {
      parts.push(
        'writes',
        fieldOf(key.namespace),
        fieldOf(key.checkpointId),
        fieldOf(taskId),
        linesOf(ofTask),
      );
    }
  }

  deleteThread(threadId: string): void {
    this.#callOf(threadId).parts.push('delete');
  }

  #callOf(threadId: string): WriteCall {
    const last = this.calls.at(-1);
    const present =
      last?.threadId === threadId ? last : this.calls.find((call) => call.threadId === threadId);
    if (present !== undefined) return present;
    const call = { threadId, fence: undefined, parts: [] };
    this.calls.push(call);
    return call;
  }
}

/** The rows one look asked for. Redis is read before and after a look, never in it: what is not here is noted as missing. */
export class LoadedRows extends MemoryRows {
  readonly #found = new Map<string, CheckpointRow | undefined>();
  readonly #pages = new Map<string, CheckpointRow[]>();
  #missing: MissingRows[] = [];

  /** What the last look did not find, once. */
  takeMissing(): MissingRows[] {
    const missing = this.#missing;
    this.#missing = [];
    return missing;
  }

  /** The answer to `find`; with the blobs and writes it comes with. */
  setFound(
    key: WantedKey,
    row: CheckpointRow | undefined,
    blobs: readonly BlobRow[],
    writes: readonly WriteRow[],
  ): void {
    this.#found.set(nameOf(key), row);
    if (row === undefined) return;
    this.#found.set(nameOf(row), row);
    super.insert(row, blobs);
    super.insertWrites(row, writes);
  }

  /** The answer to `list`. */
  setPage(page: WantedPage, rows: CheckpointRow[]): void {
    this.#pages.set(JSON.stringify(page), rows);
  }

  override find(key: WantedKey): CheckpointRow | undefined {
    const name = nameOf(key);
    if (!this.#found.has(name)) this.#missing.push({ kind: 'checkpoint', key });
    return this.#found.get(name);
  }

  override list(query: CheckpointQuery, after: CheckpointKey | undefined, limit: number): CheckpointRow[] {
    const page = { query, after: after && keyOf(after), limit };
    const rows = this.#pages.get(JSON.stringify(page));
    if (rows === undefined) this.#missing.push({ kind: 'page', page });
    return rows ?? [];
  }

  override writes(key: CheckpointKey): WriteRow[] {
    this.find(key);
    return super.writes(key);
  }

  override blob(key: CheckpointKey, channel: string, version: string): Serialized | undefined {
    this.find(key);
    return super.blob(key, channel, version);
  }
}

/** Without `checkpointId` the newest. */
export type WantedKey = Omit<CheckpointKey, 'checkpointId'> & { checkpointId?: string | undefined };

export interface WantedPage {
  readonly query: CheckpointQuery;
  readonly after: CheckpointKey | undefined;
  readonly limit: number;
}

export type MissingRows =
  | { readonly kind: 'checkpoint'; readonly key: WantedKey }
  | { readonly kind: 'page'; readonly page: WantedPage };

function nameOf({ threadId, namespace, checkpointId = '' }: WantedKey): string {
  return JSON.stringify([threadId, namespace, checkpointId]);
}

function keyOf({ threadId, namespace, checkpointId }: CheckpointKey): CheckpointKey {
  return { threadId, namespace, checkpointId };
}

function byTask(rows: readonly WriteRow[]): Map<string, WriteRow[]> {
  const tasks = new Map<string, WriteRow[]>();
  for (const row of rows) {
    const present = tasks.get(row.taskId);
    if (present === undefined) tasks.set(row.taskId, [row]);
    else present.push(row);
  }
  return tasks;
}
