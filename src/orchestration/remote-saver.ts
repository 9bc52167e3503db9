import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  type PendingWrite,
} from '@langchain/langgraph-checkpoint';
import { nextVersion } from '../checkpoint/incremental-saver.ts';

/** A call of the saver on the other side, by name. */
export type SaverCall = (method: string, ...args: unknown[]) => Promise<unknown>;

/**
 * The saver of an isolated run: each call goes to the conductor's own, which holds the fence and the connection.
 * What it has confirmed is as durable as without isolation, and what it refuses is refused here.
 */
export class RemoteSaver extends BaseCheckpointSaver<number> {
  protected readonly ask: SaverCall;

  constructor(ask: SaverCall) {
    super();
    this.ask = ask;
  }

  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    return (await this.ask('getTuple', dataOf(config))) as CheckpointTuple | undefined;
  }

  async *list(config: RunnableConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple> {
    const before = options?.before && dataOf(options.before);
    yield* (await this.ask('list', dataOf(config), options && { ...options, before })) as CheckpointTuple[];
  }

  async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    versions: Record<string, number | string>,
  ): Promise<RunnableConfig> {
    return (await this.ask('put', dataOf(config), checkpoint, metadata, versions)) as RunnableConfig;
  }

  async putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
    taskPath?: string,
  ): Promise<void> {
    await this.ask('putWrites', dataOf(config), writes, taskId, taskPath);
  }

  async deleteThread(threadId: string): Promise<void> {
    await this.ask('deleteThread', threadId);
  }
}

/** Where the saver on the other side knows fences, and so is one of Jotty's. */
export class RemoteFencedSaver extends RemoteSaver {
  override getNextVersion(current: number | undefined): number {
    return nextVersion(current);
  }

  async advanceFence(threadId: string, fence: number): Promise<void> {
    await this.ask('advanceFence', threadId, fence);
  }

  async raiseFence(threadId: string, seen: number): Promise<number> {
    return (await this.ask('raiseFence', threadId, seen)) as number;
  }
}

/** LangGraph's config holds functions and signals; a saver reads texts and numbers of it. */
function dataOf({ configurable = {}, metadata }: RunnableConfig): RunnableConfig {
  const isData = ([, value]: [string, unknown]) => ['string', 'number', 'boolean'].includes(typeof value);
  const data = Object.fromEntries(Object.entries(configurable).filter(isData));
  const told = metadata && Object.fromEntries(Object.entries(metadata).filter(isData));
  return { configurable: data, ...(told && { metadata: told }) };
}
