import type { RedisConnection } from '../redis/redis-connection.ts';
import { RedisScript } from '../redis/redis-script.ts';

/** The two keys of a thread. They share a hash tag that holds its id, so a cluster keeps them together and spreads the threads. */
export interface ThreadKeys {
  /** A hash: fence, checkpoints, channel values and writes; see lua/write.lua. */
  readonly state: string;
  /** A sorted set of the checkpoints, by namespace and id. */
  readonly index: string;
}

// Text before the id, so that the tag is never empty.
const TAG = '{thread:';
const INDEX = '}:index';

export function threadKeys(prefix: string, threadId: string): ThreadKeys {
  const thread = `${prefix}:${TAG}${threadId}`;
  return { state: `${thread}}:state`, index: `${thread}${INDEX}` };
}

/** Matches the indexes of all threads. A client may put a prefix of its own before ours. */
export function indexPattern(prefix: string): string {
  return `*${prefix.replace(/[\\*?[\]]/g, '\\$&')}:${TAG}*${INDEX}`;
}

/** The thread whose index this is; undefined for a key of another prefix. */
export function threadOfIndex(prefix: string, key: string): string | undefined {
  const start = `${prefix}:${TAG}`;
  const at = key.indexOf(start);
  return at < 0 || !key.endsWith(INDEX) ? undefined : key.slice(at + start.length, -INDEX.length);
}

/** Deletes all checkpoints, writes and the fence of these threads; for a queue that purges their tasks. Loads no LangGraph. */
export async function purgeRedisCheckpoints(
  connection: RedisConnection,
  prefix: string,
  threadIds: readonly string[],
): Promise<void> {
  await Promise.all(
    threadIds.map((threadId) => {
      const { state, index } = threadKeys(prefix, threadId);
      return connection.call('UNLINK', state, index);
    }),
  );
}

/** The fences of these threads, as text; '0' of a thread without one. */
export async function readRedisFences(
  connection: RedisConnection,
  prefix: string,
  threadIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const entries = threadIds.map(async (id) => {
    const fence = await connection.call('HGET', threadKeys(prefix, id).state, 'f');
    return [id, String(fence ?? '0')] as const;
  });
  return new Map(await Promise.all(entries));
}

/** Deletes the threads whose fence is still the one given. Returns the others. */
export async function dropRedisThreads(
  connection: RedisConnection,
  prefix: string,
  fences: ReadonlyMap<string, string>,
): Promise<ReadonlySet<string>> {
  const kept = new Set<string>();
  const drops = [...fences].map(async ([id, fence]) => {
    const { state, index } = threadKeys(prefix, id);
    if ((await connection.run(SCRIPTS.drop, [state, index], [fence])) === 'kept') kept.add(id);
  });
  await Promise.all(drops);
  return kept;
}

export const SCRIPTS = {
  write: new RedisScript(new URL('./lua/write.lua', import.meta.url)),
  read: new RedisScript(new URL('./lua/read.lua', import.meta.url)),
  rows: new RedisScript(new URL('./lua/rows.lua', import.meta.url)),
  raise: new RedisScript(new URL('./lua/raise.lua', import.meta.url)),
  drop: new RedisScript(new URL('./lua/drop.lua', import.meta.url)),
  prune: new RedisScript(new URL('./lua/prune.lua', import.meta.url)),
} as const;
