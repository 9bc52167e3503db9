import type { RedisConnection } from '../redis/redis-connection.ts';
import type { BlobRow, CheckpointKey, CheckpointRow, CheckpointRows } from './checkpoint-rows.ts';
import { compareKeys } from './memory-rows.ts';
import type { RedisExchange } from './redis-exchange.ts';
import { blobOf, fieldOf, keyOfMember, namesOf, rowOf, textOf, writesOf } from './redis-fields.ts';
import { indexPattern, SCRIPTS, threadKeys, threadOfIndex } from './redis-keys.ts';
import type { LoadedRows, WantedKey, WantedPage } from './redis-rows.ts';

/** How many checkpoints one script reads, so that Redis serves others in between. */
export const ROWS_PER_SCRIPT = 200;

/** A byte that no text has: behind everything that begins alike. */
const AFTER_ALL = Buffer.from([0xff]);

export interface StoredRow {
  readonly row: CheckpointRow;
  /** The names of its stored values, where they were asked for. */
  readonly blobs: ReadonlySet<string>;
}

export interface ReadDepth {
  /** How many checkpoints a read fetches, an ancestor after the other. */
  readonly checkpoints: number;
  /** Only the values of these channels; all when undefined. */
  readonly channels?: readonly string[];
}

/** Reads the checkpoints of a Redis. Each checkpoint comes with its values and writes in one round trip. */
export class RedisReader {
  readonly #connection: RedisConnection;
  readonly #exchange: RedisExchange;
  readonly #prefix: string;

  constructor(connection: RedisConnection, exchange: RedisExchange, prefix: string) {
    this.#connection = connection;
    this.#exchange = exchange;
    this.#prefix = prefix;
  }

  /** Repeats a look until it asks for nothing that is not loaded. */
  async look<T>(rows: LoadedRows, look: (rows: CheckpointRows) => T, depth: ReadDepth): Promise<T> {
    for (;;) {
      const seen = look(rows);
      const missing = rows.takeMissing();
      if (missing.length === 0) return seen;
      for (const want of missing) {
        if (want.kind === 'page') rows.setPage(want.page, await this.#page(want.page));
        else await this.#load(rows, want.key, depth);
      }
    }
  }

  /** All checkpoints of a thread, the newest first, each with the names of the values that are stored; and how many the index has. */
  async thread(threadId: string): Promise<{ readonly count: number; readonly rows: readonly StoredRow[] }> {
    const keys = await this.#keysOf({ threadId });
    const found: StoredRow[] = [];
    for (let first = 0; first < keys.length; first += ROWS_PER_SCRIPT)
      found.push(...(await this.#rows(keys.slice(first, first + ROWS_PER_SCRIPT), 'names')));
    return { count: keys.length, rows: found };
  }

  async #load(rows: LoadedRows, wanted: WantedKey, depth: ReadDepth): Promise<void> {
    const { threadId, namespace, checkpointId = '' } = wanted;
    const found = await this.#exchange.read({
      threadId,
      parts: [
        fieldOf(namespace),
        checkpointId === '' ? '' : fieldOf(checkpointId),
        depth.checkpoints,
        ...(depth.channels ?? []).map(fieldOf),
      ],
    });
    if (found.length === 0) rows.setFound(wanted, undefined, [], []);
    let key = wanted;
    for (const [id, record, blobs, writes] of found) {
      const row = rowOf({ threadId, namespace, checkpointId: textOf(id) }, record);
      rows.setFound(key, row, blobsOf(blobs), writes.flatMap(writesOf));
      key = { threadId, namespace, checkpointId: row.parentId ?? '' };
    }
  }

  async #page({ query, after, limit }: WantedPage): Promise<CheckpointRow[]> {
    const threadIds = query.threadId === undefined ? await this.#threadIds() : [query.threadId];
    const keys: CheckpointKey[] = [];
    for (const threadId of threadIds)
      keys.push(...(await this.#keysOf({ ...query, threadId }, after, limit)));
    const newest = keys.sort((a, b) => compareKeys(b, a)).slice(0, limit);
    return (await this.#rows(newest, '')).map(({ row }) => row);
  }

  /** Of one thread, the newest first. */
  async #keysOf(
    query: WantedPage['query'] & { readonly threadId: string },
    after?: CheckpointKey,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<CheckpointKey[]> {
    const { threadId, namespace, checkpointId, before } = query;
    const members = await this.#members(query, after, limit);
    return members
      .map((member) => keyOfMember(threadId, member))
      .filter(
        (key) =>
          (namespace === undefined || key.namespace === namespace) &&
          (checkpointId === undefined || key.checkpointId === checkpointId) &&
          (before === undefined || key.checkpointId < before) &&
          (after === undefined || compareKeys(key, after) < 0),
      )
      .sort((a, b) => compareKeys(b, a))
      .slice(0, limit);
  }

  /** More than are wanted, it may be. In a namespace the index is in order; across namespaces all of it is read. */
  #members(
    { threadId, namespace, checkpointId, before }: WantedPage['query'] & { readonly threadId: string },
    after: CheckpointKey | undefined,
    limit: number,
  ): Promise<string[]> {
    const { index } = threadKeys(this.#prefix, threadId);
    if (namespace === undefined || limit === Number.POSITIVE_INFINITY)
      return this.#connection.call('ZRANGE', index, 0, -1) as Promise<string[]>;
    const start = `[${fieldOf(namespace)}`;
    const below = [checkpointId, before, after?.checkpointId].filter((id) => id !== undefined).sort()[0];
    const end = below === undefined ? Buffer.concat([Buffer.from(start), AFTER_ALL]) : start + fieldOf(below);
    // `before` and `after` are not wanted themselves.
    const range = [index, end, start, 'LIMIT', 0, limit + 2] as const;
    return this.#connection.call('ZREVRANGEBYLEX', ...range) as Promise<string[]>;
  }

  /** In the order of `keys`, without those that are gone. */
  async #rows(keys: readonly CheckpointKey[], names: 'names' | ''): Promise<StoredRow[]> {
    const threads = new Map<string, CheckpointKey[]>();
    for (const key of keys) {
      const ofThread = threads.get(key.threadId);
      if (ofThread === undefined) threads.set(key.threadId, [key]);
      else ofThread.push(key);
    }
    const read = await Promise.all([...threads].map(([id, ofThread]) => this.#rowsOf(id, ofThread, names)));
    return read.flat().sort((a, b) => compareKeys(b.row, a.row));
  }

  async #rowsOf(threadId: string, keys: readonly CheckpointKey[], names: 'names' | ''): Promise<StoredRow[]> {
    const { state } = threadKeys(this.#prefix, threadId);
    const ids = keys.flatMap(({ namespace, checkpointId }) => [fieldOf(namespace), fieldOf(checkpointId)]);
    const replies = (await this.#connection.run(SCRIPTS.rows, [state], [names, ...ids])) as string[];
    return keys.flatMap((key, i) => {
      const record = replies[2 * i] ?? '';
      if (record === '') return [];
      return [{ row: rowOf(key, record), blobs: new Set(namesOf(replies[2 * i + 1] ?? '')) }];
    });
  }

  /** Of all threads. This alone scans: no run needs it. */
  async #threadIds(): Promise<string[]> {
    const found = new Set<string>();
    for (const key of await this.#connection.scan(indexPattern(this.#prefix))) {
      const threadId = threadOfIndex(this.#prefix, key);
      if (threadId !== undefined) found.add(threadId);
    }
    return [...found];
  }
}

function blobsOf(values: readonly string[]): BlobRow[] {
  const blobs: BlobRow[] = [];
  for (let i = 0; i < values.length; i += 2) blobs.push(blobOf(values[i]!, values[i + 1]!));
  return blobs;
}
