/** Where a checkpoint is. */
export interface CheckpointKey {
  readonly threadId: string;
  readonly namespace: string;
  readonly checkpointId: string;
}

/** A value as the serializer gave it. */
export interface Serialized {
  readonly type: string;
  readonly data: Uint8Array | string;
}

/** A checkpoint without its channel values. */
export interface CheckpointRow extends CheckpointKey {
  readonly parentId: string | null;
  readonly checkpoint: Serialized;
  readonly metadata: Serialized;
  /** Which channel values belong to it, where that is known: what the checkpoint says too. */
  readonly versions?: Readonly<Record<string, string | number>>;
}

/** The value of a channel at a version. */
export interface BlobRow extends Serialized {
  readonly channel: string;
  readonly version: string;
}

/** What a task wrote after a checkpoint. */
export interface WriteRow extends Serialized {
  readonly taskId: string;
  readonly taskPath: string;
  readonly index: number;
  readonly channel: string;
}

/** Which checkpoints a listing wants; what is undefined does not matter. */
export interface CheckpointQuery {
  readonly threadId?: string | undefined;
  readonly namespace?: string | undefined;
  readonly checkpointId?: string | undefined;
  readonly before?: string | undefined;
}

/**
 * What a saver keeps, as seen inside one atomic read or write. Everything is
 * synchronous, so that a fence and the write it guards cannot be separated.
 */
export interface CheckpointRows {
  /** Without `checkpointId` the newest one. */
  find(
    key: Omit<CheckpointKey, 'checkpointId'> & { checkpointId?: string | undefined },
  ): CheckpointRow | undefined;
  /** Up to `limit` checkpoints by descending (checkpointId, threadId, namespace), those that come after `after`. */
  list(query: CheckpointQuery, after: CheckpointKey | undefined, limit: number): CheckpointRow[];
  blob(key: CheckpointKey, channel: string, version: string): Serialized | undefined;
  /** The pending writes of a checkpoint in the order of LangGraph's `writesSortKey`, in which they are applied. */
  writes(key: CheckpointKey): WriteRow[];

  insert(row: CheckpointRow, blobs: readonly BlobRow[]): void;
  /** A special write (error, interrupt, resume: index below 0) replaces the one before it; of other writes the first counts. */
  insertWrites(key: CheckpointKey, rows: readonly WriteRow[]): void;
  deleteCheckpoint(key: CheckpointKey): void;
  deleteBlob(key: CheckpointKey, channel: string, version: string): void;
  deleteThread(threadId: string): void;

  /** The highest fence seen on the thread. */
  fence(threadId: string): number | undefined;
  setFence(threadId: string, fence: number): void;
}
