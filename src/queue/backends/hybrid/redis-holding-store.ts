import type {
  Beside,
  Held,
  HeldChange,
  HoldingStore,
  HoldRequest,
  Place,
  Quotas,
} from '../../holding-store.ts';
import { isLeased } from '../../task.ts';
import type { Applied, Claim, TaskRecord } from '../../task-store.ts';
import { toRecord } from '../redis/record-text.ts';
import { RedisTaskStore } from '../redis/redis-task-store.ts';
import { filterArguments } from '../redis/replies.ts';
import { type FirstWrite, firstApplied, firstWriteArguments, isFirstWrite } from './held-writes.ts';

const LINE_BREAK = 10;
const BESIDE_MARK = 'b';

/** Known, paused, wanted, the next due time, dropped, ask again, whether tasks with a quota wait. */
type Told = readonly [0 | 1, 0 | 1, 0 | 1, string, readonly string[], 0 | 1, 0 | 1 | 2];

const QUOTAS: readonly Quotas[] = ['none', 'later', 'ready'];

/** The tasks of a queue in Redis, and those that nodes hold ahead. See `holds.lua`. */
export class RedisHoldingStore extends RedisTaskStore implements HoldingStore {
  /** Calls under way are told apart, since the last answer to each is remembered. */
  readonly #freeSlots: string[] = [];
  #slots = 0;

  protected override get holdsAhead(): boolean {
    return true;
  }

  /** The batches are made above; nothing is gathered here a second time. */
  override async apply(changes: readonly HeldChange[], now: number): Promise<(Applied | null)[]> {
    const answers = new Array<Applied | null>(changes.length).fill(null);
    const firsts: number[] = [];
    const others: number[] = [];
    changes.forEach((change, i) => {
      (isFirstWrite(change) ? firsts : others).push(i);
    });
    // All have come back before a failure is told: what is sent again is not still under way.
    const calls = await Promise.allSettled([
      this.#writeFirsts(changes, firsts, answers, now),
      this.#writeAny(changes, others, answers, now),
    ]);
    for (const call of calls) if (call.status === 'rejected') throw call.reason;
    return answers;
  }

  async #writeFirsts(
    changes: readonly HeldChange[],
    places: readonly number[],
    answers: (Applied | null)[],
    now: number,
  ): Promise<void> {
    if (places.length === 0) return;
    const firsts = places.map((i) => changes[i] as FirstWrite);
    const values = firstWriteArguments(firsts, (leaseExpiresAt) => this.leaseEnd(leaseExpiresAt, now));
    const [at, opened, ...skipped] = (await this.#inSlot((slot) =>
      this.scripts.run('writeHeld', { now, mark: `a${slot}`, values }),
    )) as number[];
    const refused = new Set(skipped.map((number) => number - 1));
    const skewMs = this.judgeAt(now) === '' && at! > 0 ? at! - now : 0;
    firsts.forEach((change, i) => {
      if (!refused.has(i)) answers[places[i]!] = this.#followed(firstApplied(change, skewMs, opened === 1));
    });
    const left = places.filter((_, i) => refused.has(i));
    await this.#writeAny(changes, left, answers, now);
  }

  async #writeAny(
    changes: readonly HeldChange[],
    places: readonly number[],
    answers: (Applied | null)[],
    now: number,
  ): Promise<void> {
    if (places.length === 0) return;
    const any = places.map((i) => changes[i]!);
    const [applied] = await this.#inSlot((slot) => this.sendChanges([{ changes: any, now }], slot));
    places.forEach((place, i) => {
      answers[place] = applied![i]!;
    });
  }

  async #inSlot<T>(call: (slot: string) => Promise<T>): Promise<T> {
    const slot = this.#freeSlots.pop() ?? `h${this.#slots++}`;
    try {
      return await call(slot);
    } finally {
      this.#freeSlots.push(slot);
    }
  }

  #followed(applied: Applied): Applied {
    const { record } = applied;
    if (isLeased(record.status)) this.known.put(record);
    return applied;
  }

  hold(request: HoldRequest): Promise<Held> {
    return this.#inSlot((slot) => this.#hold(request, slot));
  }

  async #hold({ node, holdMs, filter, limit, last, now }: HoldRequest, slot: string): Promise<Held> {
    const [priorityMin, agentTypes, agents, types] = filterArguments(filter);
    const values = [
      limit,
      node,
      holdMs,
      last?.rank ?? '',
      last?.seq ?? '',
      priorityMin!,
      agentTypes!,
      agents!,
      types!,
    ];
    await this.submitted();
    for (;;) {
      const reply = await this.scripts.run('hold', { now: this.judgeAt(now), mark: slot, values });
      const told = reply[1] as Told;
      const records = readHeld(reply as readonly string[]);
      if (records.length > 0 || told[5] !== 1) return toHeld(records, told);
    }
  }

  async giveBack(node: string, ids: readonly string[], now: number): Promise<void> {
    await this.scripts.run('release', { now: this.judgeAt(now), values: [node, '', ...ids] });
  }

  async leave(node: string, now: number): Promise<void> {
    await this.scripts.run('release', { now: this.judgeAt(now), values: [node, '1'] });
  }

  nodes(): Promise<number> {
    return this.holders.all();
  }

  recalled(): Promise<number> {
    return this.holders.recalled();
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

/** Two texts for each task, and the state of one that ran before, behind a line break. */
function readHeld(reply: readonly string[]): TaskRecord[] {
  const records: TaskRecord[] = [];
  for (let i = 2; i + 1 < reply.length; i += 2) {
    const state = reply[i + 2]?.charCodeAt(0) === LINE_BREAK ? reply[i + 2]!.slice(1) : '';
    records.push(toRecord(reply[i]!, reply[i + 1]!, state, ''));
    if (state !== '') i++;
  }
  return records;
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
