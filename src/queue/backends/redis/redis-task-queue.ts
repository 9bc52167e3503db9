import { InvalidOptionError } from '../../../errors.ts';
import { requireOptions } from '../../../options.ts';
import { RedisConnection, type RedisConnectionOptions } from '../../../redis/redis-connection.ts';
import { ServerClock } from '../../../redis/server-clock.ts';
import { StoredTaskQueue } from '../../stored-task-queue.ts';
import type { TaskQueueOptions } from '../../task-queue.ts';
import type { TaskStore } from '../../task-store.ts';
import {
  awaitReplicas,
  checkDemand,
  type DurabilityDemand,
  judgeDurability,
  type RedisDurability,
  readDurability,
} from './durability.ts';
import type { RedisStoreOptions } from './redis-store-options.ts';
import { RedisTaskStore } from './redis-task-store.ts';

export interface RedisTaskQueueOptions extends TaskQueueOptions, RedisConnectionOptions {
  /** All keys of the queue begin with it: one for each deployment that shares a Redis. @default 'jotty' */
  readonly prefix?: string | undefined;
  /** What Redis must offer, e.g. `{ atLeast: 'everysec' }`. */
  readonly durability?: DurabilityDemand | undefined;
}

const PREFIX = /^[A-Za-z0-9_.:-]{1,64}$/;

/**
 * A queue in Redis, shared by any number of machines. Leases are judged by the time of Redis, so that a
 * machine whose clock is wrong takes nothing from others. Nothing is connected before the first call.
 */
export class RedisTaskQueue extends StoredTaskQueue {
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #waitReplicas: number;
  #closeSaver: () => Promise<void> = async () => {};

  /** `makeStore`: for queues that put something between. */
  constructor(
    given: RedisTaskQueueOptions,
    makeStore: (options: RedisStoreOptions) => TaskStore = (storeOptions) => new RedisTaskStore(storeOptions),
  ) {
    const {
      url,
      redis,
      commandTimeoutMs,
      prefix = 'jotty',
      durability = {},
      ...options
    } = requireOptions(given, 'an object with url or redis');
    if (!PREFIX.test(prefix))
      throw new InvalidOptionError('prefix', '1–64 characters of A–Z a–z 0–9 _ . : -', prefix);
    const connection = new RedisConnection({
      ...(url !== undefined && { url }),
      ...(redis !== undefined && { redis }),
      ...(commandTimeoutMs !== undefined && { commandTimeoutMs }),
    });
    checkDemand(durability, connection.isCluster);
    const { waitReplicas = 0 } = durability;
    const onOpen = async () => judgeDurability(await readDurability(connection, waitReplicas), durability);
    const onWritten =
      waitReplicas === 0
        ? undefined
        : () => awaitReplicas(connection, waitReplicas, connection.commandTimeoutMs);
    const time = options.clock === undefined ? new ServerClock() : undefined;
    super(makeStore({ connection, prefix, time, onOpen, onWritten }), {
      ...options,
      clock: options.clock ?? time,
    });
    this.#connection = connection;
    this.#prefix = prefix;
    this.#waitReplicas = waitReplicas;
  }

  /** What Redis is configured for now. */
  durability(): Promise<RedisDurability> {
    return readDurability(this.#connection, this.#waitReplicas);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#closeSaver();
    this.#connection.close();
  }

  /** Checkpoints beside the tasks, over the same connection. */
  protected override async makeCheckpointer(): Promise<unknown> {
    const { RedisSaver } = await import('../../../checkpoint/redis-saver.ts');
    const saver = new RedisSaver({ connection: this.#connection, prefix: this.#prefix });
    this.#closeSaver = () => saver.close();
    return saver;
  }
}
