import { compareWritesSortKeys, writesSortKey } from '@langchain/langgraph-checkpoint';
import type {
  BlobRow,
  CheckpointKey,
  CheckpointQuery,
  CheckpointRow,
  CheckpointRows,
  Serialized,
  WriteRow,
} from './checkpoint-rows.ts';

interface Namespace {
  readonly checkpoints: Map<string, CheckpointRow>;
  /** By checkpoint id, then by task and index. */
  readonly writes: Map<string, Map<string, WriteRow>>;
  /** By channel and version. */
  readonly blobs: Map<string, Serialized>;
}

/** Checkpoints in memory. Maps throughout: an id like `__proto__` is only an id. */
export class MemoryRows implements CheckpointRows {
  readonly #threads = new Map<string, Map<string, Namespace>>();
  readonly #fences = new Map<string, number>();

  find(
    key: Omit<CheckpointKey, 'checkpointId'> & { checkpointId?: string | undefined },
  ): CheckpointRow | undefined {
    const checkpoints = this.#namespace(key)?.checkpoints;
    if (key.checkpointId !== undefined) return checkpoints?.get(key.checkpointId);
    let latest: CheckpointRow | undefined;
    for (const row of checkpoints?.values() ?? []) {
      if (latest === undefined || row.checkpointId > latest.checkpointId) latest = row;
    }
    return latest;
  }

  list(query: CheckpointQuery, after: CheckpointKey | undefined, limit: number): CheckpointRow[] {
    const rows: CheckpointRow[] = [];
    for (const [threadId, namespaces] of this.#threads) {
      if (query.threadId !== undefined && query.threadId !== threadId) continue;
      for (const { checkpoints } of namespaces.values()) {
        for (const row of checkpoints.values()) if (isWanted(row, query, after)) rows.push(row);
      }
    }
    return rows.sort((a, b) => compareKeys(b, a)).slice(0, limit);
  }

  blob(key: CheckpointKey, channel: string, version: string): Serialized | undefined {
    return this.#namespace(key)?.blobs.get(JSON.stringify([channel, version]));
  }

  writes(key: CheckpointKey): WriteRow[] {
    const rows = [...(this.#namespace(key)?.writes.get(key.checkpointId)?.values() ?? [])];
    return rows.sort((a, b) => compareWritesSortKeys(sortKeyOf(a), sortKeyOf(b)));
  }

  insert(row: CheckpointRow, blobs: readonly BlobRow[]): void {
    const namespace = this.#namespaceFor(row);
    namespace.checkpoints.set(row.checkpointId, row);
    for (const blob of blobs) namespace.blobs.set(JSON.stringify([blob.channel, blob.version]), blob);
  }

  insertWrites(key: CheckpointKey, rows: readonly WriteRow[]): void {
    const { writes } = this.#namespaceFor(key);
    const present = writes.get(key.checkpointId) ?? new Map<string, WriteRow>();
    writes.set(key.checkpointId, present);
    for (const row of rows) {
      const id = JSON.stringify([row.taskId, row.index]);
      if (row.index < 0 || !present.has(id)) present.set(id, row);
    }
  }

  deleteCheckpoint(key: CheckpointKey): void {
    this.#namespace(key)?.checkpoints.delete(key.checkpointId);
    this.#namespace(key)?.writes.delete(key.checkpointId);
  }

  deleteBlob(key: CheckpointKey, channel: string, version: string): void {
    this.#namespace(key)?.blobs.delete(JSON.stringify([channel, version]));
  }

  deleteThread(threadId: string): void {
    this.#threads.delete(threadId);
    this.#fences.delete(threadId);
  }

  fence(threadId: string): number | undefined {
    return this.#fences.get(threadId);
  }

  setFence(threadId: string, fence: number): void {
    this.#fences.set(threadId, fence);
  }

  #namespace(key: Pick<CheckpointKey, 'threadId' | 'namespace'>): Namespace | undefined {
    return this.#threads.get(key.threadId)?.get(key.namespace);
  }

  #namespaceFor(key: CheckpointKey): Namespace {
    const namespaces = this.#threads.get(key.threadId) ?? new Map<string, Namespace>();
    this.#threads.set(key.threadId, namespaces);
    const namespace = namespaces.get(key.namespace) ?? {
      checkpoints: new Map(),
      writes: new Map(),
      blobs: new Map(),
    };
    namespaces.set(key.namespace, namespace);
    return namespace;
  }
}

function isWanted(row: CheckpointRow, query: CheckpointQuery, after: CheckpointKey | undefined): boolean {
  return (
    (query.namespace === undefined || row.namespace === query.namespace) &&
    (query.checkpointId === undefined || row.checkpointId === query.checkpointId) &&
    (query.before === undefined || row.checkpointId < query.before) &&
    (after === undefined || compareKeys(row, after) < 0)
  );
}

/** The order of listings, descending there. */
export function compareKeys(a: CheckpointKey, b: CheckpointKey): number {
  return (
    compare(a.checkpointId, b.checkpointId) ||
    compare(a.threadId, b.threadId) ||
    compare(a.namespace, b.namespace)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortKeyOf(row: WriteRow): ReturnType<typeof writesSortKey> {
  return writesSortKey(row.taskPath, row.taskId, row.index);
}
