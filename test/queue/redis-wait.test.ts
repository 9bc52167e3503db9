import { expect, test } from 'vitest';
import { awaitReplicas } from '../../src/queue/backends/redis/durability.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { TcpProxy } from '../faults/tcp-proxy.ts';
import { sharedRedis } from '../redis/shared-redis.ts';

const redis = sharedRedis();

test('replicas that are asked for on another connection confirm nothing', async () => {
  const proxy = await TcpProxy.start(redis.server.port);
  const connection = new RedisConnection({ url: proxy.url, commandTimeoutMs: 5_000 });
  await connection.call('PING');
  // None is asked for, so that WAIT always answers; it is asked again when its connection is cut.
  await expect(awaitReplicas(connection, 0, 100)).resolves.toBeUndefined();
  const waiting = awaitReplicas(connection, 0, 100);
  proxy.cut();
  await expect(waiting).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  connection.close();
  await proxy.stop();
});
