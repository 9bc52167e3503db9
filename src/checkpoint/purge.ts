import type { SqliteConnection } from '../sqlite/connection.ts';
import { versionOf } from '../sqlite/migrations.ts';
import { CHECKPOINT_COMPONENT } from './component.ts';

/**
 * Deletes all checkpoints, writes and fences of these threads inside the
 * caller's transaction. Does nothing in a file without checkpoints, so a queue
 * may call it with every purge. Loads no LangGraph.
 */
export function purgeCheckpoints(connection: SqliteConnection, threadIds: readonly string[]): void {
  if (versionOf(connection, CHECKPOINT_COMPONENT) === 0) return;
  for (const threadId of threadIds) {
    connection.prepare('DELETE FROM checkpoints WHERE thread_id = ?').run(threadId);
    connection.prepare('DELETE FROM checkpoint_blobs WHERE thread_id = ?').run(threadId);
    connection.prepare('DELETE FROM checkpoint_writes WHERE thread_id = ?').run(threadId);
    connection.prepare('DELETE FROM checkpoint_fences WHERE thread_id = ?').run(threadId);
  }
}
