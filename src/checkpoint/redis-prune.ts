import type { SerializerProtocol } from '@langchain/langgraph-checkpoint';
import type { RedisConnection } from '../redis/redis-connection.ts';
import type { CheckpointKey, CheckpointRows } from './checkpoint-rows.ts';
import { MemoryRows } from './memory-rows.ts';
import type { Prunable } from './prune.ts';
import { blobName, fieldOf, memberOf } from './redis-fields.ts';
import { SCRIPTS, threadKeys } from './redis-keys.ts';
import { type RedisReader, ROWS_PER_SCRIPT, type StoredRow } from './redis-reader.ts';

const NO_DATA = new Uint8Array();

interface Doomed {
  readonly key: CheckpointKey;
  readonly blobs: string[];
}

/**
 * A thread as pruning sees it: its checkpoints, and which values are stored. What is to go is noted, and goes in
 * steps, so that Redis serves others in between; each step only if nobody has written a checkpoint meanwhile.
 */
export class RedisThread implements Prunable {
  readonly serde: SerializerProtocol;
  readonly #connection: RedisConnection;
  readonly #reader: RedisReader;
  readonly #prefix: string;
  readonly #threadId: string;
  #rows: ThreadRows | undefined;

  constructor(
    serde: SerializerProtocol,
    connection: RedisConnection,
    reader: RedisReader,
    prefix: string,
    threadId: string,
  ) {
    this.serde = serde;
    this.#connection = connection;
    this.#reader = reader;
    this.#prefix = prefix;
    this.#threadId = threadId;
  }

  async read<T>(look: (rows: CheckpointRows) => T): Promise<T> {
    if (this.#rows === undefined) {
      const { count, rows } = await this.#reader.thread(this.#threadId);
      this.#rows = new ThreadRows(count, rows);
    }
    return look(this.#rows);
  }

  /** Made again on what is stored by then when somebody else was faster. */
  async write<T>(change: (rows: CheckpointRows) => T): Promise<T> {
    for (;;) {
      const rows = await this.read((loaded) => loaded as ThreadRows);
      const result = change(rows);
      this.#rows = undefined;
      if (await this.#delete(rows)) return result;
    }
  }

  async #delete(rows: ThreadRows): Promise<boolean> {
    const { state, index } = threadKeys(this.#prefix, this.#threadId);
    const doomed = rows.takeDoomed();
    let left = rows.count;
    for (let first = 0; first < doomed.length; first += ROWS_PER_SCRIPT) {
      const step = doomed.slice(first, first + ROWS_PER_SCRIPT);
      const ids = step.flatMap(({ key }) => [fieldOf(key.namespace), fieldOf(key.checkpointId)]);
      const values = [left, step.length, ...ids, ...step.flatMap(({ blobs }) => blobs)];
      if ((await this.#connection.run(SCRIPTS.prune, [state, index], values)) !== 1) return false;
      left -= step.length;
    }
    return true;
  }
}

/** Values are stored here without their data: pruning asks only whether they exist. */
class ThreadRows extends MemoryRows {
  readonly count: number;
  readonly #stored = new Set<string>();
  readonly #members = new Set<string>();
  #doomed: Doomed[] = [];

  constructor(count: number, stored: readonly StoredRow[]) {
    super();
    this.count = count;
    for (const { row, blobs } of stored) {
      super.insert(row, []);
      this.#members.add(memberOf(row));
      for (const name of blobs) this.#stored.add(blobIdOf(row, name));
    }
  }

  override blob(key: CheckpointKey, channel: string, version: string) {
    return this.#stored.has(blobIdOf(key, blobName(channel, version)))
      ? { type: '', data: NO_DATA }
      : undefined;
  }

  override deleteCheckpoint(key: CheckpointKey): void {
    if (this.#members.has(memberOf(key))) this.#doomed.push({ key, blobs: [] });
  }

  override deleteBlob(key: CheckpointKey, channel: string, version: string): void {
    const id = blobIdOf(key, blobName(channel, version));
    if (this.#stored.has(id)) this.#doomed.at(-1)?.blobs.push(id);
  }

  /** A value goes with the last checkpoint that has it: in between none may be without its values. */
  takeDoomed(): Doomed[] {
    const gone = new Set<string>();
    for (const { blobs } of this.#doomed.toReversed()) {
      const last = blobs.filter((id) => !gone.has(id));
      for (const id of last) gone.add(id);
      blobs.splice(0, blobs.length, ...last);
    }
    return this.#doomed;
  }
}

/** As the script wants it. */
function blobIdOf({ namespace }: CheckpointKey, name: string): string {
  return `${fieldOf(namespace)}${name}`;
}
