import { randomBytes } from 'node:crypto';
import { ClosedError, SchemaTooNewError, StoreUnavailableError } from '../../../errors.ts';
import type { RedisArgument } from '../../../redis/ioredis.ts';
import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { ServerClock } from '../../../redis/server-clock.ts';
import { Foresight } from './foresight.ts';
import { SCRIPTS, type ScriptName } from './scripts.ts';

/** What one call of a script says beside its own arguments. */
export interface ScriptCall {
  /** Empty: Redis tells the time. */
  readonly now: number | '';
  /** The field that remembers the answer, so that the call may be sent again; empty where it changes nothing. */
  readonly mark?: string;
  /** Writes, though there is nothing to remember. */
  readonly isWrite?: boolean;
  /** Redis gets it at once, and not when this turn of the event loop ends. */
  readonly isUrgent?: boolean;
  readonly values?: readonly RedisArgument[];
}

/** More verdicts or purges of one store than this are never under way at the same time. */
const OWN_MARKS = 8;

/** Clocks of one machine and of Redis agree better than this. */
const SKEW_MS_MIN = 1_000;

interface Hooks {
  readonly onOpen?: (() => Promise<void>) | undefined;
  readonly onWritten?: (() => Promise<void>) | undefined;
}

/**
 * Runs the scripts of one queue in the name of one store object. The first call finds out whether this
 * release can read the queue, and what time it is by Redis.
 */
export class ScriptRunner {
  /** Names this store object among those that share the queue. */
  readonly instance = randomBytes(6).toString('hex');
  readonly foresight = new Foresight();
  readonly #connection: RedisConnection;
  readonly #base: string;
  /**
   * The counters, and a key that never exists: while a cluster moves the slot, one key after the other, Redis
   * refuses scripts of which a key is missing, before they begin. It could not know of the keys that scripts
   * derive, and would end them in the middle where one of those has moved.
   */
  readonly #keys: readonly string[];
  readonly #time: ServerClock | null;
  readonly #hooks: Hooks;
  #requests = 0;
  #opening: Promise<void> | undefined;
  #isOpen = false;
  #isClosed = false;
  #hasGroups = false;
  readonly #marks = new Set<string>();
  #ownMarks = 0;

  constructor(connection: RedisConnection, prefix: string, time: ServerClock | null, hooks: Hooks) {
    this.#connection = connection;
    this.#base = `{${prefix}}:`;
    this.#keys = [this.key('c'), this.key('never')];
    this.#time = time;
    this.#hooks = hooks;
  }

  /** A key, or the channel, of this queue. */
  key(name: string): string {
    return this.#base + name;
  }

  /** Calls of one kind that are not batched never share the memory of an answer. */
  ownMark(kind: string): string {
    this.#ownMarks = (this.#ownMarks + 1) % OWN_MARKS;
    return kind + this.#ownMarks;
  }

  async run(
    name: ScriptName,
    { now, mark = '', isWrite = mark !== '', isUrgent = false, values = [] }: ScriptCall,
  ): Promise<unknown[]> {
    if (!this.#isOpen) await this.#open();
    const field = mark === '' ? '' : `${mark}:${this.instance}`;
    if (field !== '' && !this.#marks.has(field)) this.#marks.add(field).add(`${field}=`);
    const reply = await this.#send(name, [now, this.instance, field, ++this.#requests, ...values], isUrgent);
    if (isWrite && this.#hooks.onWritten) await this.#hooks.onWritten();
    return reply;
  }

  /** Claims by the program that knows of limits and turns, once there are any. */
  async claim(call: ScriptCall): Promise<unknown[]> {
    if (this.#hasGroups) return this.run('claimAmongGroups', call);
    try {
      return await this.run('claim', call);
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('JOTTYGROUPS'))) throw error;
      this.#hasGroups = true;
      return this.run('claimAmongGroups', call);
    }
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Opens, and tells how wrong the clock was before; what it is wrong by in general is no matter. */
  async skewAtOpening(): Promise<number> {
    const time = this.#time;
    const before = (time?.now() ?? 0) - performance.now();
    if (!this.#isOpen) await this.#open();
    const skew = Math.round((time?.now() ?? 0) - performance.now() - before);
    return Math.abs(skew) < SKEW_MS_MIN ? 0 : skew;
  }

  /** One plain command that may be sent twice. */
  async call(command: string, key: string, ...values: readonly RedisArgument[]): Promise<unknown> {
    if (!this.#isOpen) await this.#open();
    return this.#connection.call(command, this.key(key), ...values);
  }

  /** Takes in the time by Redis that an answer brought. */
  learn(serverMs: unknown, askedAt: number): void {
    if (typeof serverMs === 'number' && serverMs > 0) this.#time?.learn(serverMs, askedAt);
  }

  /** The answers remembered for this store object are forgotten, where Redis can be reached. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isOpen || this.#marks.size === 0) return;
    await this.#connection.lastly(() => this.#connection.call('HDEL', this.#keys[0]!, ...this.#marks));
  }

  async #open(): Promise<void> {
    this.#opening ??= this.#greet().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async #greet(): Promise<void> {
    const askedAt = performance.now();
    const time = await this.#send('open', ['', this.instance, '', 0]);
    this.learn(time, askedAt);
    await this.#hooks.onOpen?.();
    this.#isOpen = true;
  }

  async #send(name: ScriptName, values: readonly RedisArgument[], isUrgent = false): Promise<unknown[]> {
    if (this.#isClosed) throw new ClosedError('the task store');
    try {
      return (await this.#connection.run(SCRIPTS[name], this.#keys, values, isUrgent)) as unknown[];
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('JOTTYSTAGE'))
        throw new StoreUnavailableError('a part of the batch was lost on the way; submit it again');
      throw this.#tooNew(error) ?? error;
    }
  }

  #tooNew(error: unknown): SchemaTooNewError | undefined {
    const version = error instanceof Error ? /^JOTTYFORMAT (\d+)/.exec(error.message)?.[1] : undefined;
    if (version === undefined) return undefined;
    return new SchemaTooNewError(
      `the queue under ${this.#base} has format ${version}, written by a newer release of Jotty; update this one`,
    );
  }
}
