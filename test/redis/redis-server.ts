import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import { redisBinary } from './binary.ts';
import { freePort } from './free-port.ts';
import { Guardian } from './guardian.ts';

export interface RedisServerOptions {
  /** Keep an append-only file. @default false: nothing survives the process */
  readonly appendonly?: boolean;
  /** @default 'everysec' */
  readonly appendfsync?: 'always' | 'everysec' | 'no';
  /** As in redis.conf, e.g. `8mb`. */
  readonly maxmemory?: string;
  readonly maxmemoryPolicy?: string;
  readonly requirepass?: string;
  readonly replicaOf?: RedisServer;
  /** Further lines of redis.conf, e.g. `['save 60 1000']`. */
  readonly config?: readonly string[];
  /** What is asked instead of stored: a sentinel has only the lines of `config`. @default false */
  readonly sentinel?: boolean;
}

/** How long a server may take until it answers. It takes about 50 ms. */
const START_MS_MAX = 15_000;
const ASK_AGAIN_MS = 5;
const SAY_MS_MAX = 1_000;
const PORT_TRIES_MAX = 5;

/**
 * A real Redis of one's own: on a free port of 127.0.0.1, in a folder of its own, without persistence unless
 * asked for. Nothing of it is left when it is stopped, or when the process that started it ends in any way.
 */
export class RedisServer {
  readonly folder: string;
  readonly #options: RedisServerOptions;
  readonly #guardian: Guardian;
  readonly #clients = new Set<Redis>();
  #port = 0;
  #process: ChildProcess | undefined;

  private constructor(options: RedisServerOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'jotty-redis-'));
    this.#guardian = new Guardian(this.folder);
  }

  /** Resolves when it answers and has loaded its data. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(options);
    try {
      await server.#startOnFreePort();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    const { requirepass } = this.#options;
    const secret = requirepass === undefined ? '' : `:${encodeURIComponent(requirepass)}@`;
    return `redis://${secret}127.0.0.1:${this.#port}`;
  }

  get address(): { host: string; port: number; password?: string } {
    const { requirepass: password } = this.#options;
    return { host: '127.0.0.1', port: this.#port, ...(password === undefined ? {} : { password }) };
  }

  get pid(): number {
    if (this.#process?.pid === undefined) throw new Error('the Redis server is not running');
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** What it has said since its first start. */
  get log(): string {
    return readFileSync(join(this.folder, 'redis.log'), 'utf8');
  }

  /** A connection that is closed with the server, and does not complain while the server is away. */
  client(options: Omit<RedisOptions, 'replyMapping'> = {}): Redis {
    const client = new Redis({ ...this.address, ...options });
    client.on('error', () => {});
    this.#clients.add(client);
    return client;
  }

  /** One command over a connection of its own, e.g. `ask('CONFIG', 'SET', 'maxmemory', '1mb')`. */
  async ask<T = unknown>(command: string, ...words: (string | number)[]): Promise<T> {
    const client = this.client();
    try {
      return (await client.call(command, ...words)) as T;
    } finally {
      this.#clients.delete(client);
      client.disconnect();
    }
  }

  /**
   * The first line of the answer to one line, an error too; undefined when nobody answers. It needs no greeting,
   * so that it also reaches a server that is busy or loading.
   */
  say(line: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      const socket = connect(this.#port, '127.0.0.1', () => socket.write(`${line}\r\n`));
      const tell = (answer: string | undefined) => {
        socket.destroy();
        resolve(answer);
      };
      socket.setTimeout(SAY_MS_MAX, () => tell(undefined));
      socket.once('data', (data) => tell(String(data).split('\r\n')[0]));
      socket.once('error', () => tell(undefined));
      socket.once('close', () => tell(undefined));
    });
  }

  /** As a crash or the kernel would end it: without a word, nothing more is written. */
  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Ends it in good order, when it still runs, and starts it on the same port, folder and redis.conf. */
  async restart({ untilLoaded = true }: { readonly untilLoaded?: boolean } = {}): Promise<void> {
    await this.#end('SIGTERM');
    await this.#launch(untilLoaded);
  }

  /** It keeps its connections and answers nothing. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  continue(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** Ends it, its connections, and all it has stored. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    this.#clients.clear();
    await this.#end('SIGKILL');
    await this.#guardian.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Another server may take a free port before this one does. */
  async #startOnFreePort(): Promise<void> {
    for (let tries = 1; ; tries++) {
      this.#port = await freePort();
      writeFileSync(join(this.folder, 'redis.conf'), `${this.#configuration().join('\n')}\n`);
      try {
        return await this.#launch(true);
      } catch (error) {
        if (tries === PORT_TRIES_MAX || !this.log.includes('Address already in use')) throw error;
      }
    }
  }

  #configuration(): string[] {
    const { sentinel = false, config = [] } = this.#options;
    const place = [`port ${this.#port}`, 'bind 127.0.0.1', `dir ${this.folder}`, 'daemonize no'];
    return [...place, ...(sentinel ? [] : this.#storage()), ...config];
  }

  #storage(): string[] {
    const {
      appendonly = false,
      appendfsync,
      maxmemory,
      maxmemoryPolicy,
      requirepass,
      replicaOf,
    } = this.#options;
    const lines = ['save ""', `appendonly ${appendonly ? 'yes' : 'no'}`, 'repl-diskless-sync-delay 0'];
    if (appendfsync !== undefined) lines.push(`appendfsync ${appendfsync}`);
    if (maxmemory !== undefined) lines.push(`maxmemory ${maxmemory}`);
    if (maxmemoryPolicy !== undefined) lines.push(`maxmemory-policy ${maxmemoryPolicy}`);
    if (requirepass !== undefined) lines.push(`requirepass ${requirepass}`, `masterauth ${requirepass}`);
    if (replicaOf !== undefined) lines.push(`replicaof 127.0.0.1 ${replicaOf.port}`);
    return lines;
  }

  async #launch(untilLoaded: boolean): Promise<void> {
    const log = openSync(join(this.folder, 'redis.log'), 'a');
    const mode = this.#options.sentinel ? ['--sentinel'] : [];
    // A process group of its own, so that its children that write files end with it.
    const child = spawn(redisBinary(), [join(this.folder, 'redis.conf'), ...mode], {
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    child.unref();
    child.once('exit', () => {
      if (this.#process === child) this.#process = undefined;
    });
    await once(child, 'spawn');
    this.#process = child;
    this.#guardian.watch(child.pid);
    await this.#answers(child, untilLoaded);
  }

  async #answers(child: ChildProcess, untilLoaded: boolean): Promise<void> {
    const deadline = performance.now() + START_MS_MAX;
    for (;;) {
      const answer = await this.say('PING');
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline)
        throw new Error(`redis-server did not start:\n${this.log.slice(-2_000)}`);
      if (answer !== undefined && !(untilLoaded && answer.startsWith('-LOADING'))) return;
      await sleep(ASK_AGAIN_MS);
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    const exited = once(child, 'exit');
    child.ref();
    process.kill(-child.pid, signal);
    // A stopped process hears of nothing but SIGKILL before it goes on.
    if (signal !== 'SIGKILL') process.kill(child.pid, 'SIGCONT');
    await exited;
    this.#process = undefined;
    this.#guardian.watch(undefined);
  }
}
