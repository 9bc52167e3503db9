import { InvalidOptionError, NotDurableError, StoreUnavailableError } from '../../../errors.ts';
import type { RedisConnection } from '../../../redis/redis-connection.ts';

/**
 * What Redis keeps when its process is killed: nothing · what the last snapshot held · all but about a second ·
 * everything acknowledged. `unknown` where it does not tell (`CONFIG` is forbidden).
 */
export type DurabilityLevel = 'none' | 'snapshot' | 'everysec' | 'always' | 'unknown';

export interface RedisDurability {
  readonly level: DurabilityLevel;
  /** Replicas connected now. A copy is no proof: without `waitReplicas` they lag behind. */
  readonly replicas: number;
  /** So many replicas have every acknowledged write. */
  readonly waitReplicas: number;
  /** Redis may throw keys away when its memory is full (`maxmemory-policy`); undefined where it does not tell. */
  readonly evicts: boolean | undefined;
}

/** What is demanded of Redis; the first call fails with NotDurableError where it offers less. */
export interface DurabilityDemand {
  /** @default anything goes, with one warning per process where tasks can be lost */
  readonly atLeast?: Exclude<DurabilityLevel, 'unknown'> | undefined;
  /** Every write is acknowledged only after so many replicas have it (`WAIT`). Not on a cluster. @default 0 */
  readonly waitReplicas?: number | undefined;
}

const LEVELS: readonly DurabilityLevel[] = ['none', 'snapshot', 'everysec', 'always'];
const WARNING = 'JOTTY_NOT_DURABLE';
let isWarned = false;

/** Throws InvalidOptionError. */
export function checkDemand({ atLeast, waitReplicas = 0 }: DurabilityDemand, isCluster: boolean): void {
  if (atLeast !== undefined && !LEVELS.includes(atLeast))
    throw new InvalidOptionError('durability.atLeast', LEVELS.join(', '), atLeast);
  if (!Number.isInteger(waitReplicas) || waitReplicas < 0)
    throw new InvalidOptionError('durability.waitReplicas', 'a whole number from 0', waitReplicas);
  if (isCluster && waitReplicas > 0)
    throw new InvalidOptionError('durability.waitReplicas', '0 on a cluster', waitReplicas);
}

/** Asks Redis how it is configured. */
export async function readDurability(
  connection: RedisConnection,
  waitReplicas: number,
): Promise<RedisDurability> {
  const [settings, replicas] = await Promise.all([readSettings(connection), countReplicas(connection)]);
  if (settings === undefined) return { level: 'unknown', replicas, waitReplicas, evicts: undefined };
  const { appendonly, appendfsync, save } = settings;
  const evicts = settings['maxmemory-policy'] !== 'noeviction' && settings.maxmemory !== '0';
  return { level: levelOf(appendonly, appendfsync, save), replicas, waitReplicas, evicts };
}

function levelOf(
  appendonly: string | undefined,
  appendfsync: string | undefined,
  save: string | undefined,
): DurabilityLevel {
  if (appendonly === undefined) return 'unknown';
  // With `appendfsync no` the kernel decides; a killed process loses nothing, a lost machine up to half a minute.
  if (appendonly === 'yes') return appendfsync === 'always' ? 'always' : 'everysec';
  return save === undefined || save === '' ? 'none' : 'snapshot';
}

/** Throws NotDurableError where less is found than demanded; warns once where tasks can be lost. */
export function judgeDurability(
  found: RedisDurability,
  { atLeast, waitReplicas = 0 }: DurabilityDemand,
): void {
  if (atLeast !== undefined && atLeast !== 'none') {
    const rank = LEVELS.indexOf(found.level);
    if (rank < LEVELS.indexOf(atLeast)) throw new NotDurableError(atLeast, found.level);
    if (found.evicts) throw new NotDurableError('maxmemory-policy noeviction', 'a policy that evicts keys');
  }
  if (found.replicas < waitReplicas)
    throw new NotDurableError(`${waitReplicas} replicas`, `${found.replicas} connected`);
  if (atLeast === undefined) warn(found);
}

function warn({ level, evicts }: RedisDurability): void {
  if (isWarned) return;
  const isLossy = level === 'none' || level === 'snapshot';
  if (!isLossy && !evicts) return;
  isWarned = true;
  const what = isLossy
    ? `Redis keeps ${level === 'none' ? 'nothing' : 'only snapshots'} when it is killed: acknowledged tasks can be lost. Set appendonly yes`
    : 'Redis may evict tasks when its memory is full. Set maxmemory-policy noeviction';
  process.emitWarning(`${what}, or say that it is all right with durability: { atLeast: 'none' }`, {
    type: 'JottyWarning',
    code: WARNING,
  });
}

/** Waits until so many replicas have what this connection wrote. Throws StoreUnavailableError. */
export async function awaitReplicas(
  connection: RedisConnection,
  replicas: number,
  timeoutMs: number,
): Promise<void> {
  const { losses } = connection;
  const reached = Number(await connection.call('WAIT', replicas, timeoutMs));
  // A new master answers for what it has itself, and may never have heard of this write.
  if (connection.losses !== losses) {
    throw new StoreUnavailableError(
      'the server was lost before its replicas confirmed the write; make the call again',
    );
  }
  if (reached >= replicas) return;
  throw new StoreUnavailableError(
    `${reached} of ${replicas} replicas have the write; it is stored, and the call may be made again`,
  );
}

type Settings = Readonly<Record<string, string | undefined>>;

async function readSettings(connection: RedisConnection): Promise<Settings | undefined> {
  try {
    const replies = await Promise.all(
      ['append*', 'save', 'maxmemory', 'maxmemory-policy'].map((name) =>
        connection.call('CONFIG', 'GET', name),
      ),
    );
    return Object.fromEntries(replies.flatMap(pairsOf));
  } catch (error) {
    // Renamed, forbidden by an ACL, or not offered by the host: all else works without it.
    if (error instanceof StoreUnavailableError && !/NOPERM/.test(error.message)) throw error;
    return undefined;
  }
}

/** RESP 3 gives a map, RESP 2 a list. */
function pairsOf(reply: unknown): [string, string][] {
  if (reply instanceof Map) return [...reply].map(([key, value]) => [String(key), String(value)]);
  if (!Array.isArray(reply)) return Object.entries(Object(reply)).map(([key, value]) => [key, String(value)]);
  const pairs: [string, string][] = [];
  const flat = reply.flat();
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([String(flat[i]), String(flat[i + 1])]);
  return pairs;
}

async function countReplicas(connection: RedisConnection): Promise<number> {
  const said = await connection.call('INFO', 'replication').catch((error: unknown) => {
    if (error instanceof StoreUnavailableError && !/NOPERM/.test(error.message)) throw error;
    return '';
  });
  return Number(/connected_slaves:(\d+)/.exec(String(said))?.[1] ?? 0);
}
