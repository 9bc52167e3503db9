import { BUS_OFFSET } from './free-port.ts';
import { RedisServer } from './redis-server.ts';
import { until } from './until.ts';

const SLOTS = 16_384;
const NODES = 3;
const NODE_TIMEOUT_MS = 1_000;

export interface RedisClusterOptions {
  /** A replica for each master, which takes over when that dies. @default false */
  readonly replicas?: boolean;
  /** Further lines of redis.conf. */
  readonly config?: readonly string[];
}

/** Three masters that share the slots, as three processes of this machine. */
export class RedisCluster {
  readonly masters: readonly RedisServer[];
  readonly replicas: readonly RedisServer[];

  private constructor(masters: readonly RedisServer[], replicas: readonly RedisServer[]) {
    this.masters = masters;
    this.replicas = replicas;
  }

  /** Resolves when every node says that all slots are served. It takes 1 to 3 s. */
  static async start({ replicas = false, config = [] }: RedisClusterOptions = {}): Promise<RedisCluster> {
    const lines = ['cluster-enabled yes', `cluster-node-timeout ${NODE_TIMEOUT_MS}`, ...config];
    const count = replicas ? 2 * NODES : NODES;
    const servers = await startAll(count, lines);
    const cluster = new RedisCluster(servers.slice(0, NODES), servers.slice(NODES));
    try {
      await cluster.#form();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get nodes(): readonly RedisServer[] {
    return [...this.masters, ...this.replicas];
  }

  /** Where a client may begin: `host` and `port` of every node. */
  get startNodes(): { host: string; port: number }[] {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** Gives a slot, with the keys in it, to another master, as resharding does. */
  async move(slot: number, to: RedisServer): Promise<void> {
    const from = await this.holderOf(slot);
    if (from === to) return;
    await to.ask('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
    await from.ask('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to));
    await moveKeys(from, slot, to);
    for (const server of [to, from]) await server.ask('CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to));
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #form(): Promise<void> {
    await Promise.all(this.masters.map(serveShare));
    const [first, ...others] = this.nodes as [RedisServer, ...RedisServer[]];
    for (const { port } of others) await first.ask('CLUSTER', 'MEET', '127.0.0.1', port, port + BUS_OFFSET);
    const all = `cluster_known_nodes:${this.nodes.length}\r`;
    await this.#untilAllSay(all);
    for (const [index, replica] of this.replicas.entries()) await replicate(replica, this.masters[index]!);
    await this.#untilAllSay('cluster_state:ok');
  }

  async #untilAllSay(words: string): Promise<void> {
    for (const node of this.nodes)
      await until(async () => (await node.ask<string>('CLUSTER', 'INFO')).includes(words), `no ${words}`);
  }

  /** Who serves this slot by its own account: the others hear of a move a little later. */
  async holderOf(slot: number): Promise<RedisServer> {
    for (const master of this.masters) {
      const ranges = await master.ask<SlotRange[]>('CLUSTER', 'SLOTS');
      const range = ranges.find(([start, end]) => start <= slot && slot <= end);
      if (range?.[2][1] === master.port) return master;
    }
    throw new Error(`expected a master that serves slot ${slot}, got none`);
  }
}

type SlotRange = [start: number, end: number, master: [host: string, port: number]];

async function startAll(count: number, config: readonly string[]): Promise<RedisServer[]> {
  const started = await Promise.allSettled(
    Array.from({ length: count }, () => RedisServer.start({ config })),
  );
  const servers = started.filter((one) => one.status === 'fulfilled').map((one) => one.value);
  const failed = started.find((one) => one.status === 'rejected');
  if (failed === undefined) return servers;
  await Promise.all(servers.map((server) => server.stop()));
  throw failed.reason;
}

async function serveShare(master: RedisServer, index: number): Promise<void> {
  const first = Math.floor((index * SLOTS) / NODES);
  const end = Math.floor(((index + 1) * SLOTS) / NODES);
  await master.ask('CLUSTER', 'ADDSLOTS', ...Array.from({ length: end - first }, (_, slot) => first + slot));
  await master.ask('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
}

/** Refused until the replica has heard of its master. */
async function replicate(replica: RedisServer, master: RedisServer): Promise<void> {
  const id = await idOf(master);
  const ask = () => replica.ask('CLUSTER', 'REPLICATE', id).catch(() => undefined);
  await until(async () => (await ask()) === 'OK', 'a replica does not know its master');
}

function idOf(server: RedisServer): Promise<string> {
  return server.ask('CLUSTER', 'MYID');
}

async function moveKeys(from: RedisServer, slot: number, to: RedisServer): Promise<void> {
  for (;;) {
    const keys = await from.ask<string[]>('CLUSTER', 'GETKEYSINSLOT', slot, 100);
    if (keys.length === 0) return;
    await from.ask('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys);
  }
}
