import { ClosedError, StoreUnavailableError } from '../errors.ts';
import { Deadlines } from './deadlines.ts';
import { newRedisClient, type RedisAddress, type RedisArgument, type RedisClient } from './ioredis.ts';
import { failureOf, isNoScript, mapRedisError } from './redis-errors.ts';
import type { RedisScript } from './redis-script.ts';

export interface RedisConnectionOptions extends RedisAddress {
  /** Longest wait for an answer, repeats included; then StoreUnavailableError. Milliseconds. @default 1500 */
  readonly commandTimeoutMs?: number;
}

const COMMAND_TIMEOUT_MS = 1_500;

/** The first pause before a command is sent again; doubled each time. */
const REPEAT_MS = 20;

/** What only tidies up is not waited for longer. */
const LAST_CALL_MS = 200;

/** Commands with at most so many values are sent in one packet where they come together. */
const SMALL_VALUES_MAX = 48;

/** A subscription that was refused is asked for again after this. */
const SUBSCRIBE_AGAIN_MS = 200;

/** Sends a command, the same each time; `isNew`: with the text of its script. */
type Send = (isNew: boolean) => Promise<unknown>;

/** How many keys a step of a scan looks at. */
const SCAN_COUNT = 1_000;

/**
 * Redis as Jotty uses it: scripts and commands that may safely be sent twice. An answer that got lost with its
 * connection is asked for again until the deadline, so a failed call tells that Redis was away for all that
 * time, not that a packet was lost. Nothing is connected before the first call, and nothing here keeps a
 * process alive by itself.
 */
export class RedisConnection {
  readonly #address: RedisAddress;
  readonly #timeoutMs: number;
  readonly #client: RedisClient;
  readonly #deadlines = new Deadlines();
  #losses = 0;
  #resent = 0;
  #subscriber: Subscriber | null = null;
  #isClosed = false;
  #isGathering = false;
  #ready: Promise<void> | null = null;

  constructor({ commandTimeoutMs = COMMAND_TIMEOUT_MS, ...address }: RedisConnectionOptions) {
    this.#address = address;
    this.#timeoutMs = commandTimeoutMs;
    this.#client = newRedisClient(address);
    // Without a listener ioredis prints; each failed call tells its caller already.
    this.#client.on('error', () => {});
    this.#client.on('close', () => {
      this.#losses++;
    });
  }

  /** How often the connection was lost: the same number before and after a call means the same server answered. */
  get losses(): number {
    return this.#losses;
  }

  /** How many commands were sent again: what was sent after them may have been served before them. */
  get resent(): number {
    return this.#resent;
  }

  /**
   * Runs a script that is idempotent under resending. All keys lie in one slot. Replies are text. `isUrgent`: it is
   * not kept for a packet with what this step of the program sends after it.
   */
  run(
    script: RedisScript,
    keys: readonly string[],
    values: readonly RedisArgument[],
    isUrgent = false,
  ): Promise<unknown> {
    return this.#repeat((isNew) => this.#evaluate('call', script, isNew, keys, values, isUrgent));
  }

  /** As `run`, with bulk replies as Buffers. */
  runBinary(
    script: RedisScript,
    keys: readonly string[],
    values: readonly RedisArgument[],
  ): Promise<unknown> {
    return this.#repeat((isNew) => this.#evaluate('callBuffer', script, isNew, keys, values));
  }

  /** Sends one command that may be sent twice. */
  call(command: string, ...values: RedisArgument[]): Promise<unknown> {
    return this.#repeat(() => this.#client.call(command, ...values));
  }

  /** As `call`, with bulk replies as Buffers. */
  callBinary(command: string, ...values: RedisArgument[]): Promise<unknown> {
    return this.#repeat(() => this.#client.callBuffer(command, ...values));
  }

  get commandTimeoutMs(): number {
    return this.#timeoutMs;
  }

  /** True when the keys are spread over slots: then all keys of a script must lie in one. */
  get isCluster(): boolean {
    return this.#client.isCluster;
  }

  /** The keys that match, on every master of a cluster. It walks the whole keyspace: for tools, never for a run. */
  async scan(pattern: string): Promise<string[]> {
    const nodes = (await this.#repeat(
      async () => this.#client.nodes?.('master') ?? [this.#client],
    )) as RedisClient[];
    const found: string[] = [];
    for (const node of nodes) {
      let cursor = '0';
      do {
        const reply = this.#repeat(() => node.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT));
        const [next, keys] = (await reply) as [string, string[]];
        found.push(...keys);
        cursor = next;
      } while (cursor !== '0');
    }
    return found;
  }

  /**
   * Listens to a channel on a connection of its own until the returned function is called. `onGap` tells that
   * the subscription has begun, or has begun again after an outage: earlier messages may have been missed.
   */
  subscribe(channel: string, onMessage: (message: string) => void, onGap: () => void): () => void {
    if (this.#isClosed) throw new ClosedError('the Redis connection');
    this.#subscriber ??= new Subscriber(newRedisClient(this.#address));
    return this.#subscriber.add(channel, onMessage, onGap);
  }

  /** Gives a last call a moment where Redis can be reached; whether it succeeds is no matter. */
  async lastly(call: () => Promise<unknown>): Promise<void> {
    if (this.#client.status !== 'ready') return;
    await this.#deadlines.within(performance.now() + LAST_CALL_MS, call()).catch(() => {});
  }

  /** Ends both connections; calls under way are rejected. */
  close(): void {
    this.#isClosed = true;
    this.#subscriber?.close();
    this.#client.disconnect();
  }

  /** The first time is mostly the last: somebody idle may wait for it, and each step more would cost microseconds. */
  #repeat(send: Send): Promise<unknown> {
    const deadline = performance.now() + this.#timeoutMs;
    if (this.#isClosed || this.#client.status !== 'ready') return this.#persist(send, deadline);
    return new Promise((resolve, reject) => {
      this.#deadlines.watch(deadline, send(false), resolve, (error) => {
        this.#persist(send, deadline, error).then(resolve, reject);
      });
    });
  }

  /** `error`: how the first time failed. */
  async #persist(send: Send, deadline: number, error?: unknown): Promise<unknown> {
    let failure = error;
    let pause = REPEAT_MS;
    for (;;) {
      const isNew = isNoScript(failure);
      if (failure !== undefined && !isNew) this.#judge(failure, performance.now() + pause < deadline);
      if (failure !== undefined) this.#resent++;
      if (failure !== undefined && !isNew) {
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause *= 2;
      }
      if (this.#isClosed) throw new ClosedError('the Redis connection');
      try {
        if (this.#client.status !== 'ready') await this.#deadlines.within(deadline, this.#becomeReady());
        return await this.#deadlines.within(deadline, send(isNew));
      } catch (next) {
        failure = next;
      }
    }
  }

  /** `isNew`: Redis does not know the script yet. */
  #evaluate(
    call: 'call' | 'callBuffer',
    { sha, source }: RedisScript,
    isNew: boolean,
    keys: readonly string[],
    values: readonly RedisArgument[],
    isUrgent = false,
  ): Promise<unknown> {
    if (isUrgent) this.#client.stream?.uncork?.();
    else if (values.length <= SMALL_VALUES_MAX) this.#gather();
    return isNew
      ? this.#client[call]('EVAL', source, keys.length, ...keys, ...values)
      : this.#client[call]('EVALSHA', sha, keys.length, ...keys, ...values);
  }

  /** What is sent until this step of the program ends goes in one packet, and is answered in one: an idle Redis wakes once. */
  #gather(): void {
    const { stream } = this.#client;
    if (!stream?.cork || this.#isGathering) return;
    this.#isGathering = true;
    stream.cork();
    process.nextTick(() => {
      this.#isGathering = false;
      stream.uncork?.();
    });
  }

  /** Returns when the command is to be sent again, and throws otherwise. */
  #judge(error: unknown, hasTime: boolean): void {
    if (this.#isClosed) throw new ClosedError('the Redis connection');
    // No answer at all: the connection may be dead without knowing it.
    if (error instanceof StoreUnavailableError) this.#reconnect();
    const failure = failureOf(error);
    if (failure === 'reconnect') this.#reconnect();
    if ((failure !== 'again' && failure !== 'reconnect') || !hasTime) throw mapRedisError(error);
  }

  #reconnect(): void {
    if (this.#client.status === 'ready' && !this.#client.isCluster) this.#client.disconnect(true);
  }

  #becomeReady(): Promise<void> {
    this.#ready ??= connected(this.#client).finally(() => {
      this.#ready = null;
    });
    return this.#ready;
  }
}

/** Resolves at the next `ready`. Whoever waits has a deadline of its own. */
function connected(client: RedisClient): Promise<void> {
  return new Promise((resolve) => {
    if (client.status === 'ready') return resolve();
    const onReady = () => {
      client.off('ready', onReady);
      resolve();
    };
    client.on('ready', onReady);
    // Refused connections are tried again by ioredis; an ended client is started anew.
    if (client.status === 'wait' || client.status === 'end') client.connect().catch(() => {});
  });
}

interface Listener {
  readonly onMessage: (message: string) => void;
  readonly onGap: () => void;
}

/** Subscriptions of this process, on one connection, which ioredis takes up again after an outage. */
class Subscriber {
  readonly #client: RedisClient;
  readonly #listeners = new Map<string, Set<Listener>>();
  #isClosed = false;

  constructor(client: RedisClient) {
    this.#client = client;
    client.on('error', () => {});
    client.on('ready', () => this.#onReady());
    client.on('message', (channel: string, message: string) => {
      for (const { onMessage } of this.#listeners.get(channel) ?? []) onMessage(message);
    });
    client.connect().catch(() => {});
  }

  add(channel: string, onMessage: (message: string) => void, onGap: () => void): () => void {
    const listener = { onMessage, onGap };
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(listener));
    if (this.#client.status === 'ready') this.#subscribe(channel);
    return () => listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#client.disconnect();
  }

  #onReady(): void {
    for (const channel of this.#listeners.keys()) this.#subscribe(channel);
  }

  #subscribe(channel: string): void {
    // A connection lost meanwhile subscribes when it is back.
    this.#client.subscribe(channel).then(
      () => {
        for (const { onGap } of this.#listeners.get(channel) ?? []) onGap();
      },
      () => {
        // Perhaps an ACL refuses it for ever.
        setTimeout(() => {
          if (!this.#isClosed && this.#client.status === 'ready') this.#subscribe(channel);
        }, SUBSCRIBE_AGAIN_MS).unref();
      },
    );
  }
}
