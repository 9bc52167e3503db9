import { dropRedisThreads, purgeRedisCheckpoints, readRedisFences } from '../../../checkpoint/redis-keys.ts';
import type { RedisConnection } from '../../../redis/redis-connection.ts';
import type { Purged } from '../../task-store.ts';
import type { ScriptRunner } from './script-runner.ts';

interface Purge {
  readonly connection: RedisConnection;
  readonly prefix: string;
  readonly scripts: ScriptRunner;
  /** Names the answer to the call that removes. */
  readonly mark: string;
}

/** Removes tasks that ended before a time, with their checkpoints. */
export async function purge(purging: Purge, before: number, limit: number): Promise<Purged> {
  const { connection, prefix, scripts } = purging;
  const found = await scripts.run('purgeable', { now: 0, values: [before, limit] });
  const [ids, shared, idle] = found as [string[], string[], string[]];
  const own = ids.filter((id) => !shared.includes(id));
  // Before the ids are free again: a new task of the same id has a thread of its own.
  await purgeRedisCheckpoints(connection, prefix, own);
  const [tasks, freed] = await remove(purging, before, ids);
  const threads = await freeThreads(purging, before, [...new Set([...idle, ...freed])]);
  return { tasks, threads: [...own, ...threads] };
}

async function remove(
  { scripts, mark }: Purge,
  before: number,
  ids: readonly string[],
): Promise<[tasks: string[], freed: string[]]> {
  if (ids.length === 0) return [[], []];
  const removed = await scripts.run('purge', { now: 0, mark, values: [before, ...ids] });
  return removed as [string[], string[]];
}

/**
 * Deletes these threads where no stored task names them. A task that comes meanwhile raises the fence before it
 * reads anything, so a thread is deleted only as it was before it was known that nobody has it; a gate that is
 * not forgotten, since this process stopped, says to the next purge that the thread is still there.
 */
async function freeThreads(
  { connection, prefix, scripts }: Purge,
  before: number,
  candidates: readonly string[],
): Promise<string[]> {
  if (candidates.length === 0) return [];
  const fences = await readRedisFences(connection, prefix, candidates);
  const free = await scripts.run('threads', { now: 0, values: ['ask', before, ...candidates] });
  const threads = new Map((free as string[]).map((id) => [id, fences.get(id) ?? '0']));
  const kept = await dropRedisThreads(connection, prefix, threads);
  const gone = candidates.filter((id) => !kept.has(id));
  await scripts.run('threads', { now: 0, isWrite: true, values: ['forget', before, ...gone] });
  return [...threads.keys()].filter((id) => !kept.has(id));
}
