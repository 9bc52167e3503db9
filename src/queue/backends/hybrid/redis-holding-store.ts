import type {
  Beside,
  Held,
  HeldChange,
  HoldingStore,
  HoldRequest,
  Place,
  Quotas,
} from '../../holding-store.ts';
import type { Applied, Claim } from '../../task-store.ts';
import { RedisTaskStore } from '../redis/redis-task-store.ts';
import { filterArguments, readRecords } from '../redis/replies.ts';

/** Calls about holds are made one after another, so that one answer to remember is enough. */
const HOLD_MARK = 'h';
const BESIDE_MARK = 'b';

/** Known, paused, wanted, the next due time, dropped, ask again, whether tasks with a quota wait. */
type Told = readonly [0 | 1, 0 | 1, 0 | 1, string, readonly string[], 0 | 1, 0 | 1 | 2];

const QUOTAS: readonly Quotas[] = ['none', 'later', 'ready'];

/** The tasks of a queue in Redis, and those that nodes hold ahead. See `holds.lua`. */
export class RedisHoldingStore extends RedisTaskStore implements HoldingStore {
  /** Calls of `apply` under way are told apart, since the last answer to each is remembered. */
  readonly #freeSlots: string[] = [];
  #slots = 0;

  /** The batches are made above; nothing is gathered here a second time. */
  override async apply(changes: readonly HeldChange[], now: number): Promise<(Applied | null)[]> {
    if (changes.length === 0) return [];
    const slot = this.#freeSlots.pop() ?? `h${this.#slots++}`;
    try {
      const [applied] = await this.sendChanges([{ changes, now }], slot);
      return applied!;
    } finally {
      this.#freeSlots.push(slot);
    }
  }

  async hold({ node, holdMs, filter, limit, last, now }: HoldRequest): Promise<Held> {
    const [priorityMin, agentTypes, agents, types] = filterArguments(filter);
    const place = last ? [last.rank, last.seq] : ['', ''];
    const values = [limit, node, holdMs, '', 'h', priorityMin!, agentTypes!, agents!, types!, '', ...place];
    await this.submitted();
    for (;;) {
      const reply = await this.scripts.run('claim', { now: this.judgeAt(now), mark: HOLD_MARK, values });
      const told = reply[1] as Told;
      const records = readRecords(reply, 2);
      if (records.length > 0 || told[5] !== 1) return toHeld(records, told);
    }
  }

  async giveBack(node: string, ids: readonly string[], now: number): Promise<void> {
    await this.scripts.run('release', { now: this.judgeAt(now), values: [node, '', ...ids] });
  }

  async leave(node: string, now: number): Promise<void> {
    await this.scripts.run('release', { now: this.judgeAt(now), values: [node, '1'] });
  }

  async nodes(): Promise<number> {
    return (await this.scripts.run('nodes', { now: '' })) as unknown as number;
  }

  async recalled(): Promise<number> {
    return (await this.scripts.run('nodes', { now: '', values: ['1'] })) as unknown as number;
  }

  /** One after another, as all calls about holds. */
  async claimBeside(claim: Claim, held: readonly Place[]): Promise<Beside> {
    const places = held.flatMap(({ rank, seq }) => [rank, seq]);
    await this.submitted();
    for (;;) {
      const { records, told } = await this.claimTold(claim, BESIDE_MARK, places);
      const [again, heldAfter, quotas] = told as readonly [0 | 1, readonly number[], 0 | 1 | 2];
      if (records.length > 0 || again === 0) return { records, heldAfter, quotas: QUOTAS[quotas]! };
    }
  }
}

function toHeld(records: Held['records'], [isKnown, isPaused, isWanted, due, dropped, , quotas]: Told): Held {
  return {
    records,
    dropped,
    isKnown: isKnown === 1,
    isPaused: isPaused === 1,
    isWanted: isWanted === 1,
    quotas: QUOTAS[quotas]!,
    nextDueAt: due === '' ? null : Number(due),
  };
}
