import type { ClaimFilter } from './claim-filter.ts';
import type { Applied, Change, Claim, TaskRecord, TaskStore } from './task-store.ts';

/**
 * Asks for tasks to be taken off the lanes for one node. Also the node's sign of life: all it holds is held
 * for `holdMs` from now on.
 */
export interface HoldRequest {
  readonly node: string;
  readonly holdMs: number;
  readonly filter: ClaimFilter | null;
  /** 0 only gives the sign of life and hears the news. */
  readonly limit: number;
  /** Only tasks that are not after this place; null for any. */
  readonly last: Place | null;
  readonly now: number;
}

/** A place in the order of the queue. */
export interface Place {
  readonly rank: number;
  readonly seq: number;
}

/**
 * `claimed`: the task was claimed by the holder before this change, in the same step. The change is decided on
 * the version before the claim, and raises it by two; its fence is the reserved one.
 */
export interface HeldChange extends Change {
  readonly claimed?: NonNullable<Change['event']> | undefined;
  /** What never changes of the task, where the holder knows it. */
  readonly identity?: TaskRecord;
}

export interface Held {
  /** In order of rank, then sequence; unchanged by being held. */
  readonly records: readonly TaskRecord[];
  /** What the node held until somebody else wrote it: told once. */
  readonly dropped: readonly string[];
  /** False where nothing that the node held before this call is held any more. */
  readonly isKnown: boolean;
  /** While paused nothing is held anew. */
  readonly isPaused: boolean;
  /** As in the `Outlook` of a store. */
  readonly nextDueAt: number | null;
  /** Another node found the lanes empty while this one holds tasks. */
  readonly isWanted: boolean;
  readonly quotas: Quotas;
}

/** Whether tasks with a quota that are not held wait in the store, beside the others; `later`: none is ready now. */
export type Quotas = 'none' | 'later' | 'ready';

/** What a claim beside held tasks takes. */
export interface Beside {
  /** Tasks with a quota. */
  readonly records: readonly TaskRecord[];
  /** Of the held tasks that belong to the claim too, from the first on: how many of `records` come before each. */
  readonly heldAfter: readonly number[];
  readonly quotas: Quotas;
}

/**
 * A store whose tasks can be held ahead for a node. A held task is as it was: status, version and fence stay,
 * every read shows it waiting. But nobody else claims it, and the fence that the next claim gives is the
 * node's. The node claims it by `apply`, with a change from waiting to leased that carries this fence.
 *
 * 1. A change that claims a held task with another fence than the reserved one is refused.
 * 2. Any other write to a held task refuses the node's claim, which is made on the version before. If the task
 *    waits no longer, the hold ends and the reserved fence is used up, so that a claim which the node has made
 *    and not yet written can never share its fence with a later one; if it still waits, it may stay held.
 * 3. Holds end with their node: when it leaves, or when it has been silent for `holdMs` by the store's own
 *    clock. In the second case the reserved fences are used up.
 * 4. `hold` and `claimBeside` come after every insert that this object was asked for before: who is woken by a
 *    submission that is still on its way must find it.
 */
export interface HoldingStore extends TaskStore {
  apply(changes: readonly HeldChange[], now: number): Promise<(Applied | null)[]>;
  /**
   * `isNew` is false only where nothing changed for those that hold tasks: others claimed and ended their own. With
   * `isRecall` all that nodes hold was called back, whoever did it: nothing of it may start any more.
   */
  watch(listener: (isNew?: boolean, isRecall?: boolean) => void): () => void;
  /**
   * A task under limits is held only while it leaves others room: it stands in its places from then on, as if it ran,
   * and leaves them when it is given back. One that takes turns, or that a rate counts, is never held: it passes its
   * gates with a claim.
   */
  hold(request: HoldRequest): Promise<Held>;
  /** Claims tasks with a quota that are not held among those that are, whose places are given in order: all in one order, or by turns. */
  claimBeside(claim: Claim, held: readonly Place[]): Promise<Beside>;
  /** Puts tasks of the node back on their lanes; others are left alone. Their reserved fences were not used. */
  giveBack(node: string, ids: readonly string[], now: number): Promise<void>;
  /** Puts back all the node holds, and forgets the node. */
  leave(node: string, now: number): Promise<void>;
  /** How many nodes have held something and neither left nor been silent for too long. */
  nodes(): Promise<number>;
  /**
   * Of those, how many held something when an agent or a type was last paused, or a limit became tighter, and have not
   * given it back. They are told that the queue is paused until they have left.
   */
  recalled(): Promise<number>;
}
