import type { BaseCheckpointSaver, CheckpointTuple } from '@langchain/langgraph-checkpoint';

/**
 * Copies whole threads from one saver to another, oldest checkpoint first. Copying again writes the same again.
 * The path of a task within its superstep is no part of what a saver gives out, so the writes of a superstep
 * that was under way come back in the order of the task ids.
 */
export async function copyThreads(
  source: BaseCheckpointSaver,
  target: BaseCheckpointSaver,
  threadIds: readonly string[],
): Promise<void> {
  for (const threadId of threadIds) await copyThread(source, target, threadId);
}

async function copyThread(
  source: BaseCheckpointSaver,
  target: BaseCheckpointSaver,
  threadId: string,
): Promise<void> {
  // A listing is newest first, and a checkpoint is written after its parent: only the keys are held.
  const keys: CheckpointTuple['config'][] = [];
  for await (const { config } of source.list({ configurable: { thread_id: threadId } })) keys.push(config);
  for (const key of keys.reverse()) {
    const tuple = await source.getTuple(key);
    if (tuple !== undefined) await copyCheckpoint(target, threadId, tuple);
  }
}

async function copyCheckpoint(
  target: BaseCheckpointSaver,
  threadId: string,
  { config, checkpoint, metadata, parentConfig, pendingWrites = [] }: CheckpointTuple,
): Promise<void> {
  const configurable = {
    thread_id: threadId,
    checkpoint_ns: config.configurable?.checkpoint_ns ?? '',
    checkpoint_id: parentConfig?.configurable?.checkpoint_id,
  };
  const written = await target.put(
    { configurable },
    checkpoint,
    metadata ?? { source: 'loop', step: -1, parents: {} },
    checkpoint.channel_versions,
  );
  const byTask = new Map<string, [string, unknown][]>();
  for (const [taskId, channel, value] of pendingWrites) {
    const writes = byTask.get(taskId) ?? [];
    writes.push([channel, value]);
    byTask.set(taskId, writes);
  }
  for (const [taskId, writes] of byTask) await target.putWrites(written, writes, taskId);
}
