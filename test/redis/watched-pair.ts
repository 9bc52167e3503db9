import { RedisServer, type RedisServerOptions } from './redis-server.ts';
import { until } from './until.ts';

/** What the sentinels call the pair, and clients ask for. */
export const PAIR_NAME = 'jotty';

/** A master and its replica, and, when asked for, sentinels that let the replica take over. */
export class WatchedPair {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];

  private constructor(master: RedisServer, replica: RedisServer, sentinels: readonly RedisServer[]) {
    this.master = master;
    this.replica = replica;
    this.sentinels = sentinels;
  }

  /** Resolves when the replica follows and the sentinels know it and one another. */
  static async start(sentinelCount = 1, options: RedisServerOptions = {}): Promise<WatchedPair> {
    const started: RedisServer[] = [];
    const start = async (wishes: RedisServerOptions) => {
      const server = await RedisServer.start(wishes);
      started.push(server);
      return server;
    };
    try {
      const master = await start(options);
      const replica = await start({ ...options, replicaOf: master });
      await until(() => follows(replica), 'the replica does not follow its master');
      const config = watching(master, sentinelCount, options.requirepass);
      const sentinels: RedisServer[] = [];
      for (let n = 0; n < sentinelCount; n++) sentinels.push(await start({ sentinel: true, config }));
      for (const sentinel of sentinels)
        await until(() => knowsAll(sentinel, sentinelCount), 'a sentinel does not know the others');
      return new WatchedPair(master, replica, sentinels);
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      throw error;
    }
  }

  /** Where a client of sentinels may begin. */
  get startNodes(): { host: string; port: number }[] {
    return this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** Makes the replica a master, as an operator would; what it had not received is lost. */
  async promote(): Promise<void> {
    await this.replica.ask('REPLICAOF', 'NO', 'ONE');
  }

  async stop(): Promise<void> {
    await Promise.all([this.master, this.replica, ...this.sentinels].map((server) => server.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function watching(master: RedisServer, sentinels: number, password: string | undefined): string[] {
  const quorum = Math.floor(sentinels / 2) + 1;
  return [
    `sentinel monitor ${PAIR_NAME} 127.0.0.1 ${master.port} ${quorum}`,
    `sentinel down-after-milliseconds ${PAIR_NAME} 500`,
    `sentinel failover-timeout ${PAIR_NAME} 3000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${PAIR_NAME} ${password}`]),
  ];
}

async function follows(replica: RedisServer): Promise<boolean> {
  return (await replica.ask<string>('INFO', 'replication')).includes('master_link_status:up');
}

async function knowsAll(sentinel: RedisServer, sentinels: number): Promise<boolean> {
  const words = await sentinel.ask<string[]>('SENTINEL', 'MASTER', PAIR_NAME);
  const told = (name: string) => words[words.indexOf(name) + 1];
  return told('num-slaves') === '1' && told('num-other-sentinels') === String(sentinels - 1);
}
