import { afterAll, beforeAll } from 'vitest';
import { RedisServer, type RedisServerOptions } from './redis-server.ts';

/** A server for all tests of a file. */
export interface SharedRedis {
  readonly server: RedisServer;
  readonly url: string;
  /** A new one at each call, so that tests on one server do not meet. */
  prefix(): string;
}

/** Call it at the top of a test file, or of a `describe`; the server runs while its tests do. */
export function sharedRedis(options?: RedisServerOptions): SharedRedis {
  let server: RedisServer | undefined;
  let prefixes = 0;
  beforeAll(async () => {
    server = await RedisServer.start(options);
  });
  afterAll(() => server?.stop());
  const running = (): RedisServer => {
    if (server === undefined) throw new Error('the shared Redis runs only while tests do');
    return server;
  };
  return {
    get server() {
      return running();
    },
    get url() {
      return running().url;
    },
    prefix: () => `test-${++prefixes}`,
  };
}
