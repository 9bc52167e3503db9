import type { RedisArgument } from '../redis/ioredis.ts';
import type {
  BlobRow,
  CheckpointKey,
  CheckpointQuery,
  CheckpointRow,
  Serialized,
  WriteRow,
} from './checkpoint-rows.ts';
import { MemoryRows } from './memory-rows.ts';
import { blobName, fieldOf } from './redis-keys.ts';

/** Everything one change writes to a thread; applied as a whole, see lua/write.lua. */
export interface WriteUnit {
  readonly threadId: string;
  fence: number | undefined;
  readonly operations: RedisArgument[];
}

/** Rows that note what is written, to be sent. The stored fence is compared by the script, in the atomic step of the writes. */
export class NotedWrites extends MemoryRows {
  readonly #units = new Map<string, WriteUnit>();

  get units(): WriteUnit[] {
    return [...this.#units.values()];
  }

  override setFence(threadId: string, fence: number): void {
    this.#unitOf(threadId).fence = fence;
  }

  override insert(row: CheckpointRow, blobs: readonly BlobRow[]): void {
    const { operations } = this.#unitOf(row.threadId);
    operations.push('put', fieldOf(row.namespace), row.checkpointId, row.parentId ?? '', wantedBlobs(row));
    pushSerialized(operations, row.checkpoint);
    pushSerialized(operations, row.metadata);
    operations.push(blobs.length);
    for (const blob of blobs) {
      operations.push(blobName(blob.channel, blob.version));
      pushSerialized(operations, blob);
    }
  }

  override insertWrites(key: CheckpointKey, rows: readonly WriteRow[]): void {
    const { operations } = this.#unitOf(key.threadId);
    for (const [taskId, ofTask] of byTask(rows)) {
      operations.push('writes', fieldOf(key.namespace), key.checkpointId, fieldOf(taskId), ofTask.length);
      for (const row of ofTask) {
        operations.push(row.taskPath, row.index, row.channel);
        pushSerialized(operations, row);
      }
    }
  }

  override deleteThread(threadId: string): void {
    this.#unitOf(threadId).operations.push('delete');
  }

  #unitOf(threadId: string): WriteUnit {
    const present = this.#units.get(threadId);
    if (present !== undefined) return present;
    const unit = { threadId, fence: undefined, operations: [] };
    this.#units.set(threadId, unit);
    return unit;
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

export function keyOf({ threadId, namespace, checkpointId }: CheckpointKey): CheckpointKey {
  return { threadId, namespace, checkpointId };
}

function wantedBlobs({ versions = {} }: CheckpointRow): string {
  return Object.entries(versions)
    .map(([channel, version]) => blobName(channel, String(version)))
    .join('\n');
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

/** ioredis knows bytes only as Buffers. */
function pushSerialized(operations: RedisArgument[], { type, data }: Serialized): void {
  operations.push(
    type,
    Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  );
}
