import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Cluster, Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import { afterEach, describe, expect, test } from 'vitest';
import { redisBinary } from './binary.ts';
import { RedisCluster } from './redis-cluster.ts';
import { RedisServer, type RedisServerOptions } from './redis-server.ts';
import { until } from './until.ts';
import { PAIR_NAME, WatchedPair } from './watched-pair.ts';

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  stops.push(() => server.stop());
  return server;
}

describe('a Redis of the tests', () => {
  test('answers, and leaves neither process nor folder when it is stopped', async () => {
    const server = await start();
    const { pid, folder } = server;
    expect(await server.client().set('key', 'value')).toBe('OK');
    await server.stop();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });

  test('speaks with the client before this one too', async () => {
    const client = new Redis5((await start()).url);
    stops.push(() => client.disconnect());
    expect(await client.ping()).toBe('PONG');
  });

  test('two never share a port', async () => {
    const servers = await Promise.all([start(), start(), start()]);
    expect(new Set(servers.map((server) => server.port)).size).toBe(3);
  });

  test('forgets everything when it is killed, and keeps it with an append-only file', async () => {
    for (const appendonly of [false, true]) {
      const server = await start({ appendonly, appendfsync: 'always' });
      const { port } = server;
      await server.client().set('key', 'value');
      await server.kill9();
      expect(server.running).toBe(false);
      await server.restart();
      expect(server.port).toBe(port);
      expect(await server.client().get('key')).toBe(appendonly ? 'value' : null);
    }
  });

  test('answers nothing while it is paused, and everything afterwards', async () => {
    const server = await start();
    const client = server.client();
    await client.ping();
    server.pause();
    let answered = false;
    const answer = client.ping().finally(() => {
      answered = true;
    });
    // The machine is asked, not the clock: a stopped process is in state T.
    await until(async () => stateOf(server.pid) === 'T', 'it was not stopped');
    expect(answered).toBe(false);
    server.continue();
    expect(await answer).toBe('PONG');
  });

  test('takes a password, a limit of memory and a policy', async () => {
    const server = await start({
      requirepass: 'a-secret',
      maxmemory: '64mb',
      maxmemoryPolicy: 'noeviction',
    });
    expect(await server.client().config('GET', 'maxmemory*')).toContain('67108864');
    const stranger = new Redis({ port: server.port, retryStrategy: null as never });
    stranger.on('error', () => {});
    stops.push(() => stranger.disconnect());
    await expect(stranger.get('key')).rejects.toThrow('NOAUTH');
  });

  test('says why it did not start', async () => {
    await expect(RedisServer.start({ config: ['no-such-word 1'] })).rejects.toThrow('no-such-word');
  });

  test('dies with the process that started it, also when that is killed', async () => {
    const script = fileURLToPath(new URL('lonely-starter.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    const { pid, folder } = JSON.parse(line) as { pid: number; folder: string };
    expect(isAlive(pid)).toBe(true);
    child.kill('SIGKILL');
    await until(async () => !isAlive(pid) && !existsSync(folder), 'something was left');
  });

  test('a missing binary is named, with what to do', () => {
    const before = { ...process.env };
    try {
      delete process.env.REDIS_SERVER;
      process.env.PATH = '/nowhere';
      expect(() => redisBinary()).toThrow('apt-get install redis-server');
      process.env.REDIS_SERVER = '/opt/valkey-server';
      expect(redisBinary()).toBe('/opt/valkey-server');
    } finally {
      process.env = before;
    }
  });
});

describe('several of them', () => {
  test('three are a cluster, and a slot moves with its keys', async () => {
    const cluster = await RedisCluster.start();
    stops.push(() => cluster.stop());
    const client = new Cluster(cluster.startNodes);
    stops.push(() => client.disconnect());
    for (let n = 0; n < 30; n++) await client.set(`key-${n}`, n);
    const held = await Promise.all(cluster.masters.map((node) => node.client().dbsize()));
    expect(held.every((count) => count > 0)).toBe(true);
    expect(held.reduce((sum, count) => sum + count, 0)).toBe(30);

    const slot = (await client.cluster('KEYSLOT', 'key-0')) as number;
    for (const master of cluster.masters) {
      await cluster.move(slot, master);
      expect(await client.get('key-0')).toBe('0');
      expect(await master.client().keys('key-0')).toEqual(['key-0']);
    }
  });

  test('a replica takes over when sentinels find the master dead', async () => {
    const pair = await WatchedPair.start(1);
    stops.push(() => pair.stop());
    const client = new Redis({ sentinels: pair.startNodes, name: PAIR_NAME });
    client.on('error', () => {});
    stops.push(() => client.disconnect());
    await client.set('key', 'value');
    await client.wait(1, 5_000);
    await pair.master.kill9();
    await until(async () => (await client.set('key', 'other').catch(() => '')) === 'OK', 'nobody took over');
    expect(await pair.replica.client().get('key')).toBe('other');
  });
});

/** A process that nobody has buried yet is dead too. */
function isAlive(pid: number): boolean {
  return !['', 'Z'].includes(stateOf(pid));
}

/** One letter, as `ps` has it; empty when there is no such process. Small systems have no `ps`, others no /proc. */
function stateOf(pid: number): string {
  if (!existsSync('/proc/self/stat'))
    return spawnSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim();
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';
  } catch {
    return '';
  }
}
