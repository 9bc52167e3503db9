import { InvalidOptionError } from '../../../errors.ts';
import { RedisConnection, type RedisConnectionOptions } from '../../../redis/redis-connection.ts';
import { ServerClock } from '../../../redis/server-clock.ts';
import { StoredTaskQueue } from '../../stored-task-queue.ts';
import type { TaskQueueOptions } from '../../task-queue.ts';
import { RedisTaskStore } from './redis-task-store.ts';

export interface RedisTaskQueueOptions extends TaskQueueOptions, RedisConnectionOptions {
  /** All keys of the queue begin with it: one for each deployment that shares a Redis. @default 'jotty' */
  readonly prefix?: string | undefined;
}

const PREFIX = /^[A-Za-z0-9_.:-]{1,64}$/;

/**
 * A queue in Redis, shared by any number of machines. Leases are judged by the time of Redis, so that a
 * machine whose clock is wrong takes nothing from others. Nothing is connected before the first call.
 */
export class RedisTaskQueue extends StoredTaskQueue {
  readonly #connection: RedisConnection;

  constructor({ url, redis, commandTimeoutMs, prefix = 'jotty', ...options }: RedisTaskQueueOptions) {
    if (!PREFIX.test(prefix))
      throw new InvalidOptionError('prefix', '1–64 characters of A–Z a–z 0–9 _ . : -', prefix);
    const connection = new RedisConnection({
      ...(url !== undefined && { url }),
      ...(redis !== undefined && { redis }),
      ...(commandTimeoutMs !== undefined && { commandTimeoutMs }),
    });
    const time = options.clock === undefined ? new ServerClock() : undefined;
    super(new RedisTaskStore({ connection, prefix, time }), { ...options, clock: options.clock ?? time });
    this.#connection = connection;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#connection.close();
  }
}
