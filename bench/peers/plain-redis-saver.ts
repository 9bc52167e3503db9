import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  getCheckpointId,
  maxChannelVersion,
  type PendingWrite,
  TASKS,
  WRITES_IDX_MAP,
} from '@langchain/langgraph-checkpoint';
import { Redis } from 'ioredis';

/**
 * What one writes who needs checkpoints on Redis and thinks of nothing else: each `put` and each `putWrites` is a
 * transaction in a round trip of its own, one hash for each checkpoint and one for its writes, and an index by
 * time. It passes LangGraph's validation suite (test/checkpoint/plain-redis-saver.conformance.test.ts), so it does
 * what a saver has to do, and nothing to be fast.
 */
export class PlainRedisSaver extends BaseCheckpointSaver {
  readonly #redis: Redis;

  constructor(url: string, keyPrefix = '') {
    super();
    this.#redis = new Redis(url, { keyPrefix });
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { thread_id: thread, checkpoint_ns: namespace = '' } = config.configurable ?? {};
    if (!thread) return undefined;
    const id = getCheckpointId(config) || (await this.#redis.zrevrange(indexOf(thread, namespace), 0, 0))[0];
    if (!id) return undefined;
    const key = `${thread}:${namespace}:${id}`;
    const stored = await this.#redis.hgetallBuffer(`checkpoint:${key}`);
    if (stored.checkpoint === undefined) return undefined;
    const checkpoint = (await this.#load(stored.checkpoint)) as Checkpoint;
    checkpoint.channel_values = await this.#valuesOf(thread, namespace, checkpoint);
    const parent = String(stored.parent ?? '');
    if (checkpoint.v < 4 && parent !== '')
      await this.#migrateSends(checkpoint, `${thread}:${namespace}:${parent}`);
    return {
      config: configOf(thread, namespace, id),
      checkpoint,
      metadata: (await this.#load(stored.metadata!)) as CheckpointMetadata,
      pendingWrites: await this.#writesOf(key),
      ...(parent !== '' && { parentConfig: configOf(thread, namespace, parent) }),
    };
  }

  override async *list(
    config: RunnableConfig,
    { before, filter = {}, limit = Number.POSITIVE_INFINITY }: CheckpointListOptions = {},
  ): AsyncGenerator<CheckpointTuple> {
    const { thread_id: thread, checkpoint_ns: namespace, checkpoint_id: only } = config.configurable ?? {};
    const end = before && getCheckpointId(before);
    let left = limit;
    for (const place of await this.#places(thread, namespace)) {
      const ids = await this.#redis.zrevrange(indexOf(place.thread, place.namespace), 0, -1);
      for (const id of ids) {
        if ((only && id !== only) || (end && id >= end)) continue;
        const tuple = await this.getTuple(configOf(place.thread, place.namespace, id));
        const metadata = tuple?.metadata as Record<string, unknown> | undefined;
        if (!tuple || Object.entries(filter).some(([key, value]) => metadata?.[key] !== value)) continue;
        if (left-- <= 0) return;
        yield tuple;
      }
    }
  }

  override async put(
    config: RunnableConfig,
    { channel_values: values, ...checkpoint }: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { thread, namespace } = placeOf(config);
    const changed: Record<string, Buffer> = {};
    for (const [channel, version] of Object.entries(newVersions ?? checkpoint.channel_versions))
      if (channel in values) changed[`${channel}|${version}`] = await this.#dump(values[channel]);
    const fields = {
      checkpoint: await this.#dump(checkpoint),
      metadata: await this.#dump(metadata),
      parent: getCheckpointId(config) ?? '',
    };
    const transaction = this.#redis.multi();
    if (Object.keys(changed).length > 0) transaction.hset(`values:${thread}:${namespace}`, changed);
    await transaction
      .hset(`checkpoint:${thread}:${namespace}:${checkpoint.id}`, fields)
      .zadd(indexOf(thread, namespace), Date.parse(checkpoint.ts), checkpoint.id)
      .exec();
    return configOf(thread, namespace, checkpoint.id);
  }

  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const { thread, namespace } = placeOf(config);
    const id = getCheckpointId(config);
    if (!id) throw new Error('expected a checkpoint_id');
    const key = `writes:${thread}:${namespace}:${id}`;
    const transaction = this.#redis.multi();
    for (const [position, [channel, value]] of writes.entries()) {
      const index = WRITES_IDX_MAP[channel] ?? position;
      const field = `${taskId}|${index}|${channel}`;
      // An error or an interrupt replaces the one before it, of other writes the first counts.
      if (index < 0) transaction.hset(key, field, await this.#dump(value));
      else transaction.hsetnx(key, field, await this.#dump(value));
    }
    await transaction.exec();
  }

  override async deleteThread(threadId: string): Promise<void> {
    for (const { namespace } of await this.#places(threadId, undefined)) {
      const index = indexOf(threadId, namespace);
      for (const id of await this.#redis.zrevrange(index, 0, -1)) {
        const key = `${threadId}:${namespace}:${id}`;
        await this.#redis.unlink(`checkpoint:${key}`, `writes:${key}`);
      }
      await this.#redis.unlink(index, `values:${threadId}:${namespace}`);
    }
  }

  async close(): Promise<void> {
    await this.#redis.quit();
  }

  /** Of all threads and namespaces, or of those named. */
  async #places(thread?: string, namespace?: string): Promise<{ thread: string; namespace: string }[]> {
    const prefix = `${this.#redis.options.keyPrefix}index:`;
    return (await this.#redis.keys(`${prefix}*`))
      .map((key) => JSON.parse(key.slice(prefix.length)) as [string, string])
      .map(([thread, namespace]) => ({ thread, namespace }))
      .filter((place) => thread === undefined || place.thread === thread)
      .filter((place) => namespace === undefined || place.namespace === namespace);
  }

  async #writesOf(key: string): Promise<[string, string, unknown][]> {
    const stored = Object.entries(await this.#redis.hgetallBuffer(`writes:${key}`));
    return Promise.all(
      stored.map(async ([field, value]): Promise<[string, string, unknown]> => {
        const [taskId = '', , channel = ''] = field.split('|');
        return [taskId, channel, await this.#load(value)];
      }),
    );
  }

  async #valuesOf(
    thread: string,
    namespace: string,
    { channel_versions: versions }: Checkpoint,
  ): Promise<Record<string, unknown>> {
    const channels = Object.keys(versions);
    if (channels.length === 0) return {};
    const fields = channels.map((channel) => `${channel}|${versions[channel]}`);
    const stored = await this.#redis.hmgetBuffer(`values:${thread}:${namespace}`, ...fields);
    const values: Record<string, unknown> = {};
    for (const [i, value] of stored.entries())
      if (value !== null) values[channels[i]!] = await this.#load(value);
    return values;
  }

  /** Checkpoints of old had their sends in the parent's writes. */
  async #migrateSends(checkpoint: Checkpoint, parentKey: string): Promise<void> {
    const writes = await this.#writesOf(parentKey);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[TASKS] = writes
      .filter(([, channel]) => channel === TASKS)
      .map(([, , value]) => value);
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }

  /** The type and the bytes in one value. */
  async #dump(value: unknown): Promise<Buffer> {
    const [type, bytes] = await this.serde.dumpsTyped(value);
    return Buffer.concat([Buffer.from(`${type}\n`), bytes]);
  }

  #load(value: Buffer): Promise<unknown> {
    const end = value.indexOf(10);
    return this.serde.loadsTyped(value.toString('utf8', 0, end), value.subarray(end + 1));
  }
}

function indexOf(thread: string, namespace: string): string {
  return `index:${JSON.stringify([thread, namespace])}`;
}

function placeOf({ configurable = {} }: RunnableConfig): { thread: string; namespace: string } {
  if (!configurable.thread_id) throw new Error('expected a thread_id');
  return { thread: configurable.thread_id, namespace: configurable.checkpoint_ns ?? '' };
}

function configOf(thread: string, namespace: string, id: string): RunnableConfig {
  return { configurable: { thread_id: thread, checkpoint_ns: namespace, checkpoint_id: id } };
}
