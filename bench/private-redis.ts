import { Redis } from 'ioredis';
import { RedisServer } from '../test/redis/redis-server.ts';

/** `--everysec`: every side's Redis writes an append-only file, flushed once a second. Without it nothing is kept. */
export const EVERYSEC = 'JOTTY_BENCH_EVERYSEC';

let started: Promise<RedisServer> | undefined;

/** The Redis of this round, without anything in it; the same for every side. */
export async function emptyRedis(): Promise<RedisServer> {
  const server = await privateRedis();
  await server.ask('FLUSHALL');
  return server;
}

function privateRedis(): Promise<RedisServer> {
  started ??= RedisServer.start({ appendonly: process.env[EVERYSEC] === 'yes', appendfsync: 'everysec' });
  return started;
}

/** Where tasks are: a file, or a Redis. */
export interface Place {
  readonly path?: string;
  readonly url?: string;
}

/** What Redis has done and holds, as it says itself. */
export interface Meter {
  /** Commands it ran, those that scripts call included. */
  readonly commands: number;
  readonly bytes: number;
}

export async function meter({ url }: Place): Promise<Meter> {
  if (url === undefined) throw new Error('only a Redis can be asked what it has done');
  const client = new Redis(url);
  const said = await client.info();
  client.disconnect();
  return { commands: number(said, 'total_commands_processed'), bytes: number(said, 'used_memory') };
}

/** What asking costs: the greeting of the connection, and the question. */
export const METER_COMMANDS = 3;

function number(info: string, name: string): number {
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]);
}
