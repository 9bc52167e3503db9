import type { RunnableConfig } from '@langchain/core/runnables';
import { InvalidOptionError, LeaseLostError } from '../errors.ts';
import type { CheckpointRows } from './checkpoint-rows.ts';

/**
 * The key of `configurable` that carries a fence, the rising number that proves
 * a lease (see the queue). It is set beside `thread_id`; LangGraph hands it on to
 * every `put` and `putWrites` of the run, those of subgraphs included.
 */
export const FENCE_KEY = 'jotty_fence';

/**
 * A saver that refuses the writes of a worker which lost its lease.
 *
 * The new holder calls `advanceFence` before it reads the state. From then on
 * every write with a lower fence throws LeaseLostError and changes nothing, so
 * that what the holder read stays what is stored. A write with a higher fence
 * raises the stored one; a write without a fence is plain LangGraph use and is
 * not checked.
 */
export interface FencedSaver {
  /** @throws LeaseLostError when a higher fence is stored: somebody else took over. */
  advanceFence(threadId: string, fence: number): Promise<void>;
  /**
   * For a thread that several tasks share, whose own fences cannot be compared: raises the thread's to `seen` + 1
   * if `seen` (0: none) is what is stored, and tells what was stored. So of two who saw the same, one wins.
   */
  raiseFence(threadId: string, seen: number): Promise<number>;
}

export function isFenced(saver: unknown): saver is FencedSaver {
  return (
    typeof saver === 'object' &&
    saver !== null &&
    typeof (saver as Partial<FencedSaver>).advanceFence === 'function'
  );
}

/** The fence a write came with, undefined for a write outside a lease. */
export function fenceOf(config: RunnableConfig): number | undefined {
  const fence: unknown = config.configurable?.[FENCE_KEY];
  return fence === undefined ? undefined : checkedFence(fence);
}

export function checkedFence(fence: unknown): number {
  if (typeof fence !== 'number' || !Number.isSafeInteger(fence) || fence < 0) {
    throw new InvalidOptionError(`configurable.${FENCE_KEY}`, 'an integer of at least 0', fence);
  }
  return fence;
}

/**
 * Compares a fence with the stored one and keeps the higher, in the atomic step of the write it guards.
 * @throws LeaseLostError when it is lower; nothing has changed then.
 */
export function passFence(rows: CheckpointRows, threadId: string, fence: number): void {
  const stored = rows.fence(threadId);
  if (stored !== undefined && fence < stored) {
    throw new LeaseLostError(threadId, fence, `its checkpoints are held under fence ${stored}`);
  }
  if (stored === undefined || fence > stored) rows.setFence(threadId, fence);
}
