import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type Checkpoint,
  type CheckpointMetadata,
  type CheckpointTuple,
  getCheckpointId,
  type PendingWrite,
  WRITES_IDX_MAP,
} from '@langchain/langgraph-checkpoint';
import { Redis } from 'ioredis';

/**
 * What one writes who needs checkpoints on Redis and thinks of nothing else: each `put` and each `putWrites`
 * is a round trip of its own, one hash for each checkpoint and one for its writes, and an index by time.
 */
export class PlainRedisSaver extends BaseCheckpointSaver {
  readonly #redis: Redis;

  constructor(url: string) {
    super();
    this.#redis = new Redis(url);
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { thread, namespace } = placeOf(config);
    const id =
      getCheckpointId(config) || (await this.#redis.zrevrange(`index:${thread}:${namespace}`, 0, 0))[0];
    if (!id) return undefined;
    const key = `${thread}:${namespace}:${id}`;
    const stored = await this.#redis.hgetallBuffer(`checkpoint:${key}`);
    if (stored.checkpoint === undefined) return undefined;
    const parent = String(stored.parent ?? '');
    return {
      config: configOf(thread, namespace, id),
      checkpoint: (await this.#load(stored.checkpoint)) as Checkpoint,
      metadata: (await this.#load(stored.metadata!)) as CheckpointMetadata,
      pendingWrites: await this.#writesOf(key),
      ...(parent !== '' && { parentConfig: configOf(thread, namespace, parent) }),
    };
  }

  override async *list(config: RunnableConfig): AsyncGenerator<CheckpointTuple> {
    const { thread, namespace } = placeOf(config);
    for (const id of await this.#redis.zrevrange(`index:${thread}:${namespace}`, 0, -1)) {
      const tuple = await this.getTuple(configOf(thread, namespace, id));
      if (tuple) yield tuple;
    }
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
  ): Promise<RunnableConfig> {
    const { thread, namespace } = placeOf(config);
    const fields = {
      checkpoint: await this.#dump(checkpoint),
      metadata: await this.#dump(metadata),
      parent: getCheckpointId(config) ?? '',
    };
    await this.#redis
      .pipeline()
      .hset(`checkpoint:${thread}:${namespace}:${checkpoint.id}`, fields)
      .zadd(`index:${thread}:${namespace}`, Date.parse(checkpoint.ts), checkpoint.id)
      .exec();
    return configOf(thread, namespace, checkpoint.id);
  }

  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const { thread, namespace } = placeOf(config);
    const fields: Record<string, Buffer> = {};
    for (const [index, [channel, value]] of writes.entries())
      fields[`${taskId}|${WRITES_IDX_MAP[channel] ?? index}|${channel}`] = await this.#dump(value);
    await this.#redis.hset(`writes:${thread}:${namespace}:${getCheckpointId(config)}`, fields);
  }

  override async deleteThread(_threadId: string): Promise<void> {
    throw new Error('not needed here');
  }

  async close(): Promise<void> {
    await this.#redis.quit();
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

function placeOf({ configurable = {} }: RunnableConfig): { thread: string; namespace: string } {
  return { thread: configurable.thread_id, namespace: configurable.checkpoint_ns ?? '' };
}

function configOf(thread: string, namespace: string, id: string): RunnableConfig {
  return { configurable: { thread_id: thread, checkpoint_ns: namespace, checkpoint_id: id } };
}
