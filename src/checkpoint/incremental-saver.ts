import { isDeepStrictEqual } from 'node:util';
import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  getCheckpointId,
  maxChannelVersion,
  type PendingWrite,
  TASKS,
  WRITES_IDX_MAP,
} from '@langchain/langgraph-checkpoint';
import { InvalidOptionError } from '../errors.ts';
import type {
  BlobRow,
  CheckpointKey,
  CheckpointRow,
  CheckpointRows,
  Serialized,
  WriteRow,
} from './checkpoint-rows.ts';
import { checkedFence, type FencedSaver, fenceOf, passFence } from './fence.ts';
import { JsonSerializer } from './json-serializer.ts';
import { type Prunable, type PruneOptions, pruneThread } from './prune.ts';

/** A listing reads this many checkpoints at a time, so that a long thread is never in memory as a whole. */
const LIST_PAGE = 50;
/** Resolution of the fraction that tells the versions of two branches apart. */
const VERSION_FRACTIONS = 1_000_000_000;

interface Loaded {
  readonly row: CheckpointRow;
  readonly checkpoint: Checkpoint;
  readonly blobs: readonly (Serialized & { readonly channel: string })[];
  readonly writes: readonly WriteRow[];
  readonly parentSends: readonly Serialized[];
}

/**
 * What all our savers do alike; where the rows are kept is up to them. Each
 * channel value is stored once per version, writes keep their task path, and a
 * write with an old fence is refused in the same atomic step (see `FencedSaver`).
 */
export abstract class IncrementalSaver extends BaseCheckpointSaver implements FencedSaver {
  declare serde: JsonSerializer;

  constructor() {
    super(new JsonSerializer());
  }

  /** One consistent look. */
  protected abstract read<T>(look: (rows: CheckpointRows) => T): Promise<T>;
  /** One atomic change, safe when it resolves. When `change` throws, nothing was written. */
  protected abstract write<T>(change: (rows: CheckpointRows) => T): Promise<T>;

  override getNextVersion(current: number | undefined): number {
    return nextVersion(current);
  }

  async advanceFence(threadId: string, fence: number): Promise<void> {
    checkedFence(fence);
    await this.write((rows) => passFence(rows, threadId, fence));
  }

  async raiseFence(threadId: string, seen: number): Promise<number> {
    checkedFence(seen);
    return this.write((rows) => {
      const stored = rows.fence(threadId) ?? 0;
      if (stored === seen) rows.setFence(threadId, seen + 1);
      return stored;
    });
  }

  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const threadId = threadIdOf(config);
    if (threadId === undefined) return undefined;
    const namespace = namespaceOf(config) ?? '';
    const checkpointId = getCheckpointId(config) || undefined;
    for (;;) {
      const row = await this.read((rows) => rows.find({ threadId, namespace, checkpointId }));
      if (row === undefined) return undefined;
      const loaded = await this.#load(row);
      if (loaded !== undefined) return this.#tuple(loaded);
    }
  }

  async *list(config: RunnableConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple> {
    const query = {
      threadId: threadIdOf(config),
      namespace: namespaceOf(config),
      checkpointId: getCheckpointId(config) || undefined,
      before: (options?.before === undefined ? '' : getCheckpointId(options.before)) || undefined,
    };
    let left = options?.limit ?? Number.POSITIVE_INFINITY;
    let after: CheckpointKey | undefined;
    while (left > 0) {
      const page = await this.read((rows) => rows.list(query, after, LIST_PAGE));
      for (const row of page) {
        const loaded = (await this.#matches(row, options?.filter)) ? await this.#load(row) : undefined;
        if (loaded === undefined) continue;
        yield await this.#tuple(loaded);
        if (--left <= 0) return;
      }
      after = page[LIST_PAGE - 1];
      if (after === undefined) return;
    }
  }

  /** @throws LeaseLostError, StateNotSerializableError; nothing is written then */
  put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    return promised(() => this.#put(config, checkpoint, metadata, newVersions));
  }

  #put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const key = {
      threadId: requiredThreadId(config),
      namespace: namespaceOf(config) ?? '',
      checkpointId: checkpoint.id,
    };
    const fence = fenceOf(config);
    const { channel_values: values, ...rest } = checkpoint;
    const row: CheckpointRow = {
      ...key,
      parentId: getCheckpointId(config) || null,
      checkpoint: this.serde.dump(rest),
      metadata: this.serde.dump(metadata),
      versions: checkpoint.channel_versions,
    };
    const blobs = this.#serializeValues(values, newVersions ?? checkpoint.channel_versions);
    return this.write((rows) => {
      if (fence !== undefined) passFence(rows, key.threadId, fence);
      rows.insert(row, blobs);
      return configOf(key);
    });
  }

  /** @throws LeaseLostError, StateNotSerializableError; nothing is written then */
  putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string, taskPath = ''): Promise<void> {
    return promised(() => this.#putWrites(config, writes, taskId, taskPath));
  }

  #putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
    taskPath: string,
  ): Promise<void> {
    const checkpointId = getCheckpointId(config);
    if (checkpointId === '')
      throw new InvalidOptionError('configurable.checkpoint_id', 'the id of a checkpoint', '');
    const key = { threadId: requiredThreadId(config), namespace: namespaceOf(config) ?? '', checkpointId };
    const fence = fenceOf(config);
    const writeRows = writes.map(([channel, value], i): WriteRow => {
      const { type, data } = this.serde.dump(value);
      return { type, data, taskId, taskPath, channel, index: WRITES_IDX_MAP[channel] ?? i };
    });
    return this.write((rows) => {
      if (fence !== undefined) passFence(rows, key.threadId, fence);
      rows.insertWrites(key, writeRows);
    });
  }

  /** Deletes all checkpoints, writes and the fence of a thread. */
  async deleteThread(threadId: string): Promise<void> {
    await this.deleteThreads([threadId]);
  }

  /** The same for several threads, all or none. */
  async deleteThreads(threadIds: readonly string[]): Promise<void> {
    await this.write((rows) => {
      for (const threadId of threadIds) rows.deleteThread(threadId);
    });
  }

  /**
   * Deletes old checkpoints of a thread, its subgraphs' included, and the values only they held.
   * Older checkpoints from which a delta channel of a kept one is rebuilt stay.
   */
  async prune(options: PruneOptions): Promise<void> {
    const { keep = 1 } = options;
    if (!Number.isSafeInteger(keep) || keep < 1)
      throw new InvalidOptionError('keep', 'an integer of at least 1', keep);
    const threadIds = 'threadId' in options ? [options.threadId] : options.threadIds;
    for (const threadId of threadIds) await pruneThread(this.prunable(threadId), threadId, keep);
  }

  /** How pruning reads and changes a thread. */
  protected prunable(_threadId: string): Prunable {
    return { serde: this.serde, read: (look) => this.read(look), write: (change) => this.write(change) };
  }

  /** Only what changed; a new version without a value means that the channel is empty, which no row says too. */
  #serializeValues(values: Record<string, unknown>, versions: ChannelVersions): BlobRow[] {
    const changed = Object.keys(versions).filter((channel) => Object.hasOwn(values, channel));
    return changed.map((channel) => {
      const { type, data } = this.serde.dump(values[channel]);
      return { type, data, channel, version: String(versions[channel]) };
    });
  }

  #deserialize({ type, data }: Serialized): Promise<unknown> {
    return this.serde.loadsTyped(type, data);
  }

  async #matches(row: CheckpointRow, filter: Record<string, unknown> | undefined): Promise<boolean> {
    const conditions = Object.entries(filter ?? {}).filter(([, value]) => value !== undefined);
    if (conditions.length === 0) return true;
    const metadata = (await this.#deserialize(row.metadata)) as Record<string, unknown>;
    return conditions.every(
      ([key, value]) => Object.hasOwn(metadata, key) && isDeepStrictEqual(metadata[key], value),
    );
  }

  /**
   * The checkpoint tells which values to read, so they are read in a second look. Undefined when the checkpoint was
   * deleted in between: values that are gone must not look like empty channels.
   */
  async #load(row: CheckpointRow): Promise<Loaded | undefined> {
    const checkpoint = (await this.#deserialize(row.checkpoint)) as Checkpoint;
    return this.read((rows) => {
      if (rows.find(row) === undefined) return undefined;
      const blobs: (Serialized & { channel: string })[] = [];
      for (const [channel, version] of Object.entries(checkpoint.channel_versions)) {
        const blob = rows.blob(row, channel, String(version));
        if (blob !== undefined) blobs.push({ type: blob.type, data: blob.data, channel });
      }
      return {
        row,
        checkpoint,
        blobs,
        writes: rows.writes(row),
        parentSends: oldSends(rows, row, checkpoint),
      };
    });
  }

  async #tuple({ row, checkpoint, blobs, writes, parentSends }: Loaded): Promise<CheckpointTuple> {
    const [metadata, values, pendingWrites] = await Promise.all([
      this.#deserialize(row.metadata) as Promise<CheckpointMetadata>,
      Promise.all(blobs.map((blob) => this.#deserialize(blob))),
      Promise.all(writes.map((write) => this.#pendingWrite(write))),
    ]);
    checkpoint.channel_values = Object.fromEntries(blobs.map((blob, i) => [blob.channel, values[i]]));
    if (isOld(checkpoint) && row.parentId !== null) await this.#migrateSends(checkpoint, parentSends);
    const tuple: CheckpointTuple = { config: configOf(row), checkpoint, metadata, pendingWrites };
    if (row.parentId !== null) tuple.parentConfig = configOf({ ...row, checkpointId: row.parentId });
    return tuple;
  }

  async #pendingWrite(write: WriteRow): Promise<CheckpointPendingWrite> {
    return [write.taskId, write.channel, await this.#deserialize(write)];
  }

  async #migrateSends(checkpoint: Checkpoint, sends: readonly Serialized[]): Promise<void> {
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[TASKS] = await Promise.all(sends.map((send) => this.#deserialize(send)));
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }
}

/** An async function would make two promises more of each write; under LangGraph's async hooks each costs a microsecond. */
function promised<T>(write: () => Promise<T>): Promise<T> {
  try {
    return write();
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Before version 4 of the format, sends were kept with the parent's writes and not in a channel. */
function isOld(checkpoint: Checkpoint): boolean {
  return checkpoint.v < 4;
}

function oldSends(rows: CheckpointRows, row: CheckpointRow, checkpoint: Checkpoint): Serialized[] {
  if (!isOld(checkpoint) || row.parentId === null) return [];
  return rows.writes({ ...row, checkpointId: row.parentId }).filter((write) => write.channel === TASKS);
}

function configOf({ threadId, namespace, checkpointId }: CheckpointKey): RunnableConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: checkpointId } };
}

function threadIdOf(config: RunnableConfig): string | undefined {
  const threadId: unknown = config.configurable?.thread_id;
  return threadId === undefined || threadId === null ? undefined : String(threadId);
}

function requiredThreadId(config: RunnableConfig): string {
  const threadId = threadIdOf(config);
  if (threadId === undefined || threadId === '') {
    throw new InvalidOptionError('configurable.thread_id', 'the id of a thread', threadId);
  }
  return threadId;
}

function namespaceOf(config: RunnableConfig): string | undefined {
  const namespace: unknown = config.configurable?.checkpoint_ns;
  return namespace === undefined || namespace === null ? undefined : String(namespace);
}

/**
 * A count with a random fraction. Values are stored by version, and two branches that fork from one checkpoint
 * count alike: without the fraction one would read the other's values.
 */
export function nextVersion(current: number | undefined): number {
  const fraction = Math.floor(Math.random() * VERSION_FRACTIONS) / VERSION_FRACTIONS;
  return Math.floor(current ?? 0) + 1 + fraction;
}
