import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../redis/free-port.ts';
import { ReplyScanner } from './reply-scanner.ts';
import { type Random, randomFrom } from './workers/random.ts';

/** A connection of a client, and the one that leads on to the server. */
interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** Stands between clients and a Redis server on this machine, and treats them as a bad network does. */
export class TcpProxy {
  /** How long each piece of data is on its way, in either direction. */
  latencyMs = 0;
  /** Replies that were lost so far, and connections that were made. */
  lost = 0;
  connections = 0;
  #target: number;
  readonly #random: Random;
  readonly #pairs = new Set<Pair>();
  #listener: Server | undefined;
  #port = 0;
  #lostShare = 0;
  #swallowing = false;

  private constructor(target: number, random: Random) {
    this.#target = target;
    this.#random = random;
  }

  static async start(target: number, random: Random = randomFrom(1)): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, random);
    await proxy.accept();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** Leads to another server from now on, as a name or an address that was moved does. */
  leadTo(target: number): void {
    this.#target = target;
    this.cut();
  }

  /** Breaks every connection; new ones are welcome. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
    this.#pairs.clear();
  }

  /** Breaks every connection and refuses new ones, as a port does on which nobody listens. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    if (listener === undefined) return;
    this.#listener = undefined;
    listener.close();
    this.cut();
    await once(listener, 'close');
  }

  /** Takes connections again, on the same port. */
  async accept(): Promise<void> {
    if (this.#listener !== undefined) return;
    this.#port ||= await freePort();
    const listener = createServer((client) => this.#join(client)).listen(this.#port, '127.0.0.1');
    this.#listener = listener;
    await once(listener, 'listening');
  }

  /** From now on nothing arrives in either direction, and nobody is told; connections can still be made. */
  blackHole(): void {
    this.#swallowing = true;
    for (const pair of this.#pairs) hold(pair);
  }

  /** What was on its way arrives, late. */
  heal(): void {
    this.#swallowing = false;
    for (const { client, server } of this.#pairs) {
      client.resume();
      server.resume();
    }
  }

  /**
   * This share of the replies (0–1) is lost with its connection: the server has done what it was told, and the
   * client does not hear of it. Messages to subscribers are no replies in RESP 3.
   */
  loseReplies(share: number): void {
    this.#lostShare = share;
  }

  async stop(): Promise<void> {
    await this.refuse();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #join(client: Socket): void {
    this.connections++;
    const pair = { client, server: connect(this.#target, '127.0.0.1') };
    this.#pairs.add(pair);
    const part = () => this.#part(pair);
    for (const socket of [client, pair.server]) socket.setNoDelay(true).on('error', part).on('close', part);
    const toServer = this.#way(pair.server);
    const toClient = this.#way(client);
    // The scanner sees everything, so that it knows where a reply begins when losing them begins.
    const scanner = new ReplyScanner();
    client.on('data', toServer);
    pair.server.on('data', (chunk) => this.#passOn(pair, scanner.push(chunk), toClient));
    if (this.#swallowing) hold(pair);
  }

  #passOn(pair: Pair, replies: readonly Buffer[], pass: (data: Buffer) => void): void {
    const lost = replies.findIndex((reply) => this.#isLost(reply));
    pass(Buffer.concat(lost === -1 ? replies : replies.slice(0, lost)));
    if (lost !== -1) this.#part(pair);
  }

  #isLost(reply: Buffer): boolean {
    const isMessage = reply[0] === '>'.charCodeAt(0);
    const lost = this.#lostShare > 0 && !isMessage && this.#random.next() < this.#lostShare;
    if (lost) this.lost++;
    return lost;
  }

  /** Data arrives in the order in which it was sent, also when the latency changes meanwhile. */
  #way(to: Socket): (data: Buffer) => void {
    let dueAt = 0;
    return (data) => {
      const now = performance.now();
      dueAt = Math.max(dueAt, now + this.latencyMs);
      if (dueAt <= now) to.write(data);
      else setTimeout(() => to.destroyed || to.write(data), dueAt - now);
    };
  }

  #part(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }
}

function hold({ client, server }: Pair): void {
  client.pause();
  server.pause();
}
