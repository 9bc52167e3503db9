import { RedisServer, type RedisServerOptions } from '../redis/redis-server.ts';
import type { Stage } from './stage.ts';
import { TcpProxy } from './tcp-proxy.ts';

export const REDIS_BACKENDS = ['redis', 'hybrid'] as const;
export type RedisBackend = (typeof REDIS_BACKENDS)[number];

/** Puts the stage's tasks on a Redis of its own. */
export async function onRedis(
  stage: Stage,
  backend: RedisBackend,
  options: RedisServerOptions = {},
): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  stage.atEnd(() => server.stop());
  stage.backend = backend;
  stage.database = server.url;
  return server;
}

/** Lets everybody on the stage who is still to come reach its Redis through a network that can be made bad. */
export async function behindProxy(stage: Stage, server: RedisServer): Promise<TcpProxy> {
  const proxy = await TcpProxy.start(server.port, stage.random);
  stage.atEnd(() => proxy.stop());
  stage.database = proxy.url;
  return proxy;
}
