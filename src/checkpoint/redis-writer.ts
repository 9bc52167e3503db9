import { LeaseLostError } from '../errors.ts';
import type { RedisArgument } from '../redis/ioredis.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import { mapRedisError } from '../redis/redis-errors.ts';
import { SCRIPTS, threadKeys } from './redis-keys.ts';
import type { WriteUnit } from './redis-rows.ts';

/** One script applies at most this many units, so that Redis serves others in between. */
const UNITS_PER_SCRIPT = 128;

interface Waiting {
  readonly unit: WriteUnit;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Sends writes. Those of one turn of the event loop share a round trip: all of them on a single Redis, those of a
 * thread in a cluster, where threads lie in different slots. What is written to a thread while a script of that
 * thread is under way waits for it, so that writes stay in order also when a script has to be sent again.
 */
export class RedisWriter {
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #underWay = new Set<string>();
  #isScheduled = false;
  #idleListeners: (() => void)[] = [];

  constructor(connection: RedisConnection, prefix: string, ttlMs: number) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#ttlMs = ttlMs;
  }

  /** @throws LeaseLostError, StoreUnavailableError, StoreCorruptError */
  write(unit: WriteUnit): Promise<void> {
    return new Promise((resolve, reject) => {
      const ofThread = this.#waiting.get(unit.threadId);
      if (ofThread === undefined) this.#waiting.set(unit.threadId, [{ unit, resolve, reject }]);
      else ofThread.push({ unit, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  idle(): Promise<void> {
    if (this.#waiting.size === 0 && this.#underWay.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleListeners.push(resolve);
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isScheduled = false;
    let batch: Waiting[] = [];
    for (const [threadId, units] of this.#waiting) {
      if (this.#underWay.has(threadId)) continue;
      this.#waiting.delete(threadId);
      this.#underWay.add(threadId);
      batch.push(...units);
      if (!this.#connection.isCluster && batch.length < UNITS_PER_SCRIPT) continue;
      void this.#send(batch);
      batch = [];
    }
    if (batch.length > 0) void this.#send(batch);
  };

  async #send(batch: readonly Waiting[]): Promise<void> {
    const threadIds = new Set(batch.map(({ unit }) => unit.threadId));
    try {
      const outcomes = await this.#run([...threadIds], batch);
      batch.forEach((waiting, i) => {
        settle(waiting, outcomes[i] ?? '');
      });
    } catch (error) {
      // What waits behind a write that failed would be written without it.
      for (const id of threadIds) batch = [...batch, ...this.#takeWaiting(id)];
      for (const { reject } of batch) reject(error);
    }
    for (const id of threadIds) this.#underWay.delete(id);
    if (this.#waiting.size > 0) this.#schedule();
    else if (this.#underWay.size === 0) for (const listener of this.#idleListeners.splice(0)) listener();
  }

  #takeWaiting(threadId: string): Waiting[] {
    const waiting = this.#waiting.get(threadId) ?? [];
    this.#waiting.delete(threadId);
    return waiting;
  }

  #run(threadIds: readonly string[], batch: readonly Waiting[]): Promise<string[]> {
    const keys: string[] = [];
    const places = new Map<string, number>();
    for (const threadId of threadIds) {
      const { state, index } = threadKeys(this.#prefix, threadId);
      keys.push(state, index);
      places.set(threadId, places.size + 1);
    }
    const values: RedisArgument[] = [this.#ttlMs];
    for (const { unit } of batch) {
      values.push(places.get(unit.threadId)!, unit.fence ?? '', unit.operations.length);
      for (const value of unit.operations) values.push(value);
    }
    return this.#connection.run(SCRIPTS.write, keys, values) as Promise<string[]>;
  }
}

const FENCE = 'fence:';

function settle({ unit, resolve, reject }: Waiting, outcome: string): void {
  if (outcome === 'ok') resolve();
  else reject(refusalOf(unit, outcome));
}

function refusalOf({ threadId, fence = 0 }: WriteUnit, outcome: string): unknown {
  if (!outcome.startsWith(FENCE)) return mapRedisError(new Error(outcome));
  const stored = outcome.slice(FENCE.length);
  return new LeaseLostError(threadId, fence, `its checkpoints are held under fence ${stored}`);
}
