import { Redis, type RedisOptions } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import { afterEach, describe, expect, test } from 'vitest';
import { sharedRedis } from '../redis/shared-redis.ts';
import { ReplyScanner } from './reply-scanner.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { randomFrom } from './workers/random.ts';

const redis = sharedRedis();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function proxyWithClient(options: RedisOptions = {}): Promise<{ proxy: TcpProxy; client: Redis }> {
  const proxy = await TcpProxy.start(redis.server.port, randomFrom(7));
  ends.push(() => proxy.stop());
  return { proxy, client: clientOf(proxy, options) };
}

function clientOf(proxy: TcpProxy, options: RedisOptions = {}): Redis {
  const client = new Redis({ port: proxy.port, retryStrategy: () => 10, ...options } as RedisOptions & {
    replyMapping?: 'legacy';
  });
  client.on('error', () => {});
  ends.push(() => client.disconnect());
  return client;
}

describe('a proxy in front of Redis', () => {
  test('passes everything on, large values and pipelines too', async () => {
    const { client } = await proxyWithClient();
    const large = 'x'.repeat(3_000_000);
    await client.set('large', large);
    expect(await client.get('large')).toBe(large);
    const results = await client
      .pipeline(Array.from({ length: 500 }, (_, n) => ['hset', 'h', `f${n}`, n]))
      .hgetall('h')
      .exec();
    expect(results).toHaveLength(501);
    expect(Object.keys(results!.at(-1)![1] as object)).toHaveLength(500);
  });

  test('makes every command wait', async () => {
    const { proxy, client } = await proxyWithClient();
    await client.ping();
    proxy.latencyMs = 40;
    const from = performance.now();
    await client.ping();
    expect(performance.now() - from).toBeGreaterThanOrEqual(75);
  });

  test('cuts connections, and lets new ones be made', async () => {
    const { proxy, client } = await proxyWithClient();
    await client.ping();
    const closed = new Promise((resolve) => client.once('close', resolve));
    proxy.cut();
    await closed;
    expect(await client.ping()).toBe('PONG');
    expect(proxy.connections).toBe(2);
  });

  test('refuses connections until it takes them again, on the same port', async () => {
    const { proxy, client } = await proxyWithClient({ maxRetriesPerRequest: 0 });
    await client.ping();
    const { port } = proxy;
    await proxy.refuse();
    await expect(client.ping()).rejects.toThrow();
    await proxy.accept();
    expect(proxy.port).toBe(port);
    await new Promise((resolve) => client.once('ready', resolve));
    expect(await client.ping()).toBe('PONG');
  });

  test('swallows everything without a word, and lets it arrive late when it heals', async () => {
    const { proxy, client } = await proxyWithClient({ commandTimeout: 100 });
    await client.set('count', 0);
    proxy.blackHole();
    await expect(client.incr('count')).rejects.toThrow('timed out');
    const late = clientOf(proxy);
    const answer = late.incr('count');
    expect(await redis.server.ask('GET', 'count'), 'nothing arrived').toBe('0');
    proxy.heal();
    await answer;
    expect(await redis.server.ask('GET', 'count')).toBe('2');
  });

  test.each(['this', 'the one before'])(
    'loses replies of commands that were done, and the client (%s) sends them again',
    async (version) => {
      const proxy = await TcpProxy.start(redis.server.port, randomFrom(7));
      ends.push(() => proxy.stop());
      const options = { port: proxy.port, retryStrategy: () => 1, maxRetriesPerRequest: null };
      const client = version === 'this' ? new Redis(options) : new Redis5(options);
      client.on('error', () => {});
      ends.push(() => client.disconnect());
      await client.del('counts');
      proxy.loseReplies(0.05);
      for (let n = 0; n < 200; n++) await client.incr('counts');
      proxy.loseReplies(0);
      expect(proxy.lost).toBeGreaterThan(3);
      // Those lost while a connection was made are no commands of ours.
      expect(Number(await client.get('counts'))).toBeGreaterThan(200);
      expect(Number(await client.get('counts'))).toBeLessThanOrEqual(200 + proxy.lost);
    },
  );
});

describe('the scanner of replies', () => {
  const replies = [
    '+OK\r\n',
    '-ERR no\r\n',
    ':12\r\n',
    '$5\r\na\r\nb\r\n'.replace('$5', '$4'),
    '$-1\r\n',
    '$0\r\n\r\n',
    '*-1\r\n',
    '*0\r\n',
    '*2\r\n*1\r\n:1\r\n$3\r\nabc\r\n',
    '%1\r\n+key\r\n*2\r\n:1\r\n:2\r\n',
    '~1\r\n#t\r\n',
    '>2\r\n+message\r\n$1\r\nx\r\n',
    '|1\r\n+ttl\r\n:3\r\n*1\r\n_\r\n',
    ',1.5\r\n',
    '=7\r\ntxt:abc\r\n',
  ];

  test('finds the same replies wherever the stream is cut', () => {
    const stream = Buffer.from(replies.join(''));
    for (const size of [1, 2, 3, 7, stream.length]) {
      const scanner = new ReplyScanner();
      const found: string[] = [];
      for (let at = 0; at < stream.length; at += size)
        found.push(...scanner.push(stream.subarray(at, at + size)).map(String));
      expect(found, `in pieces of ${size}`).toEqual(replies);
    }
  });

  test('says so when it is no reply', () => {
    expect(() => new ReplyScanner().push(Buffer.from('HTTP/1.1 200\r\n'))).toThrow('HTTP/1.1');
  });
});
