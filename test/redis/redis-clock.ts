import type { Redis } from 'ioredis';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import type { SharedRedis } from './shared-redis.ts';

const TURNS = 20;
const clients = new WeakMap<object, Redis>();

/** A clock under which each turn lasts a round trip to Redis, so that what a timer started can finish first. */
export function redisClock({ server }: SharedRedis): FakeClock {
  let client = clients.get(server);
  if (client === undefined) {
    client = server.client();
    clients.set(server, client);
  }
  const open = client;
  return new FakeClock(undefined, TURNS, async () => {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    await open.ping();
  });
}
