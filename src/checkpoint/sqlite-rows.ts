import type { SqliteConnection } from '../sqlite/connection.ts';
import type {
  BlobRow,
  CheckpointKey,
  CheckpointQuery,
  CheckpointRow,
  CheckpointRows,
  Serialized,
  WriteRow,
} from './checkpoint-rows.ts';
import { purgeCheckpoints } from './purge.ts';

const COLUMNS =
  'thread_id, checkpoint_ns, checkpoint_id, parent_id, type, checkpoint, metadata_type, metadata';
type CheckpointColumns = [string, string, string, string | null, string, Uint8Array, string, Uint8Array];
const WRITE_COLUMNS =
  'thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, type, value';
type WriteColumns = [string, string, number, string, string, Uint8Array];

const FIND = `SELECT ${COLUMNS} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?`;
const FIND_LATEST = `SELECT ${COLUMNS} FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ?
  ORDER BY checkpoint_id DESC LIMIT 1`;
const INSERT = `INSERT OR REPLACE INTO checkpoints (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const INSERT_BLOB = `INSERT OR REPLACE INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, value)
  VALUES (?, ?, ?, ?, ?, ?)`;
const FIND_BLOB = `SELECT type, value FROM checkpoint_blobs
  WHERE thread_id = ? AND checkpoint_ns = ? AND channel = ? AND version = ?`;
const INSERT_WRITE = `INSERT OR IGNORE INTO checkpoint_writes (${WRITE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const REPLACE_WRITE = `INSERT OR REPLACE INTO checkpoint_writes (${WRITE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
// SQLite compares text byte by byte in UTF-8, which is the order of code points that writesSortKey asks for.
const FIND_WRITES = `SELECT task_id, task_path, idx, channel, type, value FROM checkpoint_writes
  WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_path, task_id, idx`;

/** The checkpoints of a SQLite file, inside the transaction its connection is in. */
export class SqliteRows implements CheckpointRows {
  readonly #connection: SqliteConnection;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  find(
    key: Omit<CheckpointKey, 'checkpointId'> & { checkpointId?: string | undefined },
  ): CheckpointRow | undefined {
    const found =
      key.checkpointId === undefined
        ? this.#connection.prepareRows(FIND_LATEST).get(key.threadId, key.namespace)
        : this.#connection.prepareRows(FIND).get(key.threadId, key.namespace, key.checkpointId);
    return found === undefined ? undefined : checkpointRow(found as CheckpointColumns);
  }

  list(query: CheckpointQuery, after: CheckpointKey | undefined, limit: number): CheckpointRow[] {
    const conditions: string[] = [];
    const values: string[] = [];
    const where = (condition: string, ...bound: (string | undefined)[]): void => {
      if (bound[0] === undefined) return;
      conditions.push(condition);
      values.push(...(bound as string[]));
    };
    where('thread_id = ?', query.threadId);
    where('checkpoint_ns = ?', query.namespace);
    where('checkpoint_id = ?', query.checkpointId);
    where('checkpoint_id < ?', query.before);
    where(
      '(checkpoint_id, thread_id, checkpoint_ns) < (?, ?, ?)',
      after?.checkpointId,
      after?.threadId,
      after?.namespace,
    );
    const filter = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    // At most 32 texts exist, so all of them may stay prepared.
    const sql = `SELECT ${COLUMNS} FROM checkpoints ${filter}
      ORDER BY checkpoint_id DESC, thread_id DESC, checkpoint_ns DESC LIMIT +?`;
    return (this.#connection.prepareRows(sql).all(...values, limit) as CheckpointColumns[]).map(
      checkpointRow,
    );
  }

  blob(key: CheckpointKey, channel: string, version: string): Serialized | undefined {
    const row = this.#connection.prepareRows(FIND_BLOB).get(key.threadId, key.namespace, channel, version);
    if (row === undefined) return undefined;
    const [type, data] = row as [string, Uint8Array];
    return { type, data };
  }

  writes(key: CheckpointKey): WriteRow[] {
    const rows = this.#connection
      .prepareRows(FIND_WRITES)
      .all(key.threadId, key.namespace, key.checkpointId) as WriteColumns[];
    return rows.map(([taskId, taskPath, index, channel, type, data]) => ({
      taskId,
      taskPath,
      index,
      channel,
      type,
      data,
    }));
  }

  insert(row: CheckpointRow, blobs: readonly BlobRow[]): void {
    const { threadId, namespace, checkpointId, parentId, checkpoint, metadata } = row;
    const insertBlob = this.#connection.prepare(INSERT_BLOB);
    for (const { channel, version, type, data } of blobs) {
      insertBlob.run(threadId, namespace, channel, version, type, data);
    }
    this.#connection
      .prepare(INSERT)
      .run(
        threadId,
        namespace,
        checkpointId,
        parentId,
        checkpoint.type,
        checkpoint.data,
        metadata.type,
        metadata.data,
      );
  }

  insertWrites(key: CheckpointKey, rows: readonly WriteRow[]): void {
    for (const { taskId, index, taskPath, channel, type, data } of rows) {
      this.#connection
        .prepare(index < 0 ? REPLACE_WRITE : INSERT_WRITE)
        .run(key.threadId, key.namespace, key.checkpointId, taskId, index, taskPath, channel, type, data);
    }
  }

  deleteCheckpoint({ threadId, namespace, checkpointId }: CheckpointKey): void {
    const where = 'WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?';
    for (const table of ['checkpoints', 'checkpoint_writes']) {
      this.#connection.prepare(`DELETE FROM ${table} ${where}`).run(threadId, namespace, checkpointId);
    }
  }

  deleteBlob({ threadId, namespace }: CheckpointKey, channel: string, version: string): void {
    this.#connection
      .prepare(
        'DELETE FROM checkpoint_blobs WHERE thread_id = ? AND checkpoint_ns = ? AND channel = ? AND version = ?',
      )
      .run(threadId, namespace, channel, version);
  }

  deleteThread(threadId: string): void {
    purgeCheckpoints(this.#connection, [threadId]);
  }

  fence(threadId: string): number | undefined {
    const sql = 'SELECT fence FROM checkpoint_fences WHERE thread_id = ?';
    return this.#connection.prepareValue(sql).get(threadId) as number | undefined;
  }

  setFence(threadId: string, fence: number): void {
    this.#connection
      .prepare('INSERT OR REPLACE INTO checkpoint_fences (thread_id, fence) VALUES (?, ?)')
      .run(threadId, fence);
  }
}

function checkpointRow(columns: CheckpointColumns): CheckpointRow {
  const [threadId, namespace, checkpointId, parentId, type, checkpoint, metadataType, metadata] = columns;
  return {
    threadId,
    namespace,
    checkpointId,
    parentId,
    checkpoint: { type, data: checkpoint },
    metadata: { type: metadataType, data: metadata },
  };
}
