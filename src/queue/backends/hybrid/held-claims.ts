import { setImmediate as nextTurn } from 'node:timers/promises';
import { StoreUnavailableError } from '../../../errors.ts';
import { APPROVAL_TYPE } from '../../approval.ts';
import type { HoldingStore } from '../../holding-store.ts';
import { recordOf } from '../../task-record.ts';
import type { Claim, TaskRecord } from '../../task-store.ts';
import { claimHeld } from './held-claim.ts';
import type { HoldingNode } from './holding-node.ts';
import type { Shelf } from './shelf.ts';
import type { WriteQueue } from './write-queue.ts';

/**
 * Claims from memory never wait, so that a busy loop of them would keep the process from sending and hearing
 * anything. After so many tasks the event loop has its turn.
 */
const TURN_TASKS_MAX = 128;
/** So many rounds to fetch what others in this process keep taking. */
const FETCH_ROUNDS_MAX = 10;

export interface HeldClaimsOptions {
  readonly store: HoldingStore;
  readonly shelf: Shelf;
  readonly node: HoldingNode;
  readonly writes: WriteQueue;
  readonly onFailed: (error: unknown) => void;
}

/** Claims of what is held here, of what is fetched for them, and of what only the store may give. */
export class HeldClaims {
  readonly #store: HoldingStore;
  readonly #shelf: Shelf;
  readonly #node: HoldingNode;
  readonly #writes: WriteQueue;
  readonly #onFailed: (error: unknown) => void;
  #sinceTurn = 0;
  #isClosed = false;

  constructor({ store, shelf, node, writes, onFailed }: HeldClaimsOptions) {
    this.#store = store;
    this.#shelf = shelf;
    this.#node = node;
    this.#writes = writes;
    this.#onFailed = onFailed;
  }

  /** From now on nothing is handed out that is held here: such claims would not be written any more. */
  close(): void {
    this.#isClosed = true;
  }

  async take(claim: Claim): Promise<TaskRecord[]> {
    // Every process asks for approvals now and then; that alone must not make it hold tasks ahead.
    if (isForApprovals(claim)) return this.#store.claim(claim);
    if (claim.filter?.ids) {
      if (this.#node.isHolding) await this.#node.release(claim.filter.ids, claim.now);
      return this.#store.claim(claim);
    }
    if (this.#isBeside) return this.#claimBeside(claim);
    if (this.#sinceTurn >= TURN_TASKS_MAX) await this.#breathe();
    const claimed = this.#claimHeld(claim);
    this.#sinceTurn += claimed.length;
    if (claimed.length < claim.limit) return this.#claimMore(claim, claimed);
    this.#node.refill(claim);
    return claimed;
  }

  /** Before a claim, not behind it: what is claimed mostly ends in the same turn, and is written with that. */
  async #breathe(): Promise<void> {
    this.#sinceTurn = 0;
    if (this.#writes.isBusy && !this.#node.isAway) await this.#writes.called();
    else await nextTurn();
  }

  async #claimMore(claim: Claim, claimed: TaskRecord[]): Promise<TaskRecord[]> {
    if (!this.#node.isPrefetching) return this.#claimRemote(claim);
    // What is on its way here may be enough: another round trip behind it would leave this process idle.
    let onTheirWay = this.#node.onTheirWay;
    for (let round = 0; round < FETCH_ROUNDS_MAX && claimed.length < claim.limit; round++) {
      if (this.#isClosed || (claimed.length > 0 && (this.#node.isAway || this.#shelf.isDry(claim.filter))))
        break;
      const missing = claim.limit - claimed.length;
      const isOnItsWay = onTheirWay-- > 0;
      const failure = isOnItsWay ? await this.#node.fetched() : await this.#fetch(claim, missing);
      if (this.#isBeside) return [...claimed, ...(await this.#claimBeside({ ...claim, limit: missing }))];
      for (const record of this.#claimHeld({ ...claim, limit: missing })) claimed.push(record);
      // What was held, and what was claimed already, goes to the caller all the same.
      if (failure && claimed.length === 0) throw failure;
      if (failure || (!isOnItsWay && this.#shelf.isDry(claim.filter))) break;
    }
    if (claimed.length === claim.limit) this.#node.refill(claim);
    return claimed;
  }

  /** Whether tasks are ready that are not held: the store tells what goes first. Alone the node goes on without them. */
  get #isBeside(): boolean {
    return this.#shelf.isBesideQuotas && !this.#node.isAway;
  }

  async #claimBeside(claim: Claim): Promise<TaskRecord[]> {
    for (let round = 0; round < FETCH_ROUNDS_MAX && this.#node.isPrefetching; round++) {
      const missing = claim.limit - this.#node.places(claim).length;
      if (missing === 0 || this.#shelf.isDry(claim.filter)) break;
      const failure = await this.#fetch(claim, missing, claim.limit);
      if (failure) throw failure;
    }
    if (this.#node.places(claim).length === 0) return this.#claimRemote(claim);
    const { records, heldAfter } = await this.#node.claimBeside(claim);
    this.#node.claimed(records.length);
    const held = heldAfter.length === 0 ? [] : this.#claimHeld({ ...claim, limit: heldAfter.length });
    return inOrder(records, held, heldAfter);
  }

  async #fetch(claim: Claim, missing: number, taken = missing): Promise<StoreUnavailableError | null> {
    try {
      await this.#node.fetch(claim, missing, taken);
      return null;
    } catch (error) {
      if (error instanceof StoreUnavailableError) return error;
      throw error;
    }
  }

  async #claimRemote(claim: Claim): Promise<TaskRecord[]> {
    const records = await this.#store.claim(claim);
    this.#node.claimed(records.length);
    if (records.length < claim.limit) this.#node.want(claim, claim.limit - records.length);
    return records;
  }

  /** Claims in memory; the claims are on their way to the store before the tasks are handed out. */
  #claimHeld(claim: Claim): TaskRecord[] {
    if (this.#isClosed) return [];
    // What is handed out must be written; what waits for the store is bounded.
    if (this.#writes.isFull) throw new StoreUnavailableError('too many writes wait for the store');
    const { records, leaseExpiresAt } = this.#node.take(claim);
    if (records.length === 0) return [];
    this.#node.claimed(records.length);
    const { to, owner, now } = claim;
    const startedAt = to === 'in_progress' ? now : null;
    return records.map((record) => {
      const { id, version, status: from } = record;
      claimHeld(record, to, owner, leaseExpiresAt, startedAt);
      const event = { from, to, at: now, worker: owner };
      this.#writes.pushClaim({ id, version, next: record, event, identity: record }, now, this.#onFailed);
      return recordOf(record, record, record.version, record.events, []);
    });
  }
}

/** `heldAfter`: how many of the records come before each that was held. */
function inOrder(
  records: readonly TaskRecord[],
  held: readonly TaskRecord[],
  heldAfter: readonly number[],
): TaskRecord[] {
  const all: TaskRecord[] = [];
  let taken = 0;
  held.forEach((record, i) => {
    while (taken < heldAfter[i]!) all.push(records[taken++]!);
    all.push(record);
  });
  return [...all, ...records.slice(taken)];
}

function isForApprovals({ filter }: Claim): boolean {
  return filter?.agentTypes?.length === 1 && filter.agentTypes[0] === APPROVAL_TYPE;
}
