import { laneMatches } from '../../claim-filter.ts';
import { foreseeSubmission } from '../../submission.ts';
import type { Claim, InsertOutcome, TaskRecord } from '../../task-store.ts';
import type { Batcher, Lone } from './batcher.ts';
import { type Insertion, isStaged } from './insertions.ts';
import { type FirstState, firstRecord, identityText, specialText } from './record-text.ts';
import { claimArguments, INSERTED } from './replies.ts';
import type { ScriptRunner } from './script-runner.ts';

export interface HandOverOptions {
  readonly inserts: Batcher<Insertion, InsertOutcome>;
  readonly claims: () => Batcher<Claim, TaskRecord[]>;
  /** The usual way, one call after the other. */
  readonly insert: (insertion: Insertion, slot: number) => Promise<InsertOutcome>;
  readonly claim: (claim: Claim, slot: number) => Promise<TaskRecord[]>;
  readonly scripts: ScriptRunner;
  /** The time by which it is judged, and the end of its lease, as scripts are told. */
  readonly terms: (claim: Claim) => readonly [now: number | '', leaseEnd: string];
  /** What the claim makes of a new task. */
  readonly firstState: (claim: Claim, at: number) => FirstState;
  readonly onClaimed: (claim: Claim, record: TaskRecord) => void;
}

/** So many chances are passed over at most after a refusal. */
const PASSED_MAX = 64;

/**
 * What goes before the claims of a turn: the submissions of the same turn. A single one that wakes a single idle
 * worker of this process is handed over to it in one call, instead of being put in its place and taken from there.
 * A queue in which other tasks are ready refuses that, and is asked less and less often.
 */
export class HandOver {
  readonly #options: HandOverOptions;
  #passed = 0;
  #patience = 0;

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  get asked(): number {
    return this.#options.inserts.asked;
  }

  get sent(): number {
    return this.#options.inserts.sent;
  }

  readonly flush = (): void => {
    const { inserts, claims } = this.#options;
    const insertion = inserts.lone;
    const claim = insertion && claims().lone;
    if (insertion && claim && isSimple(insertion, claim) && this.#isTime()) this.#handOver(insertion, claim);
    else inserts.flush();
  };

  #isTime(): boolean {
    if (this.#passed++ < this.#patience) return false;
    this.#passed = 0;
    return true;
  }

  #handOver(insertion: Insertion, claim: Claim): void {
    const { inserts, claims, onClaimed } = this.#options;
    const [put, got] = [inserts.takeLone(), claims().takeLone()];
    this.#send(insertion, claim, put.slot).then(
      (record) => {
        this.#patience = record ? 0 : Math.min(2 * this.#patience + 1, PASSED_MAX);
        if (!record) return this.#goOn(insertion, claim, put, got);
        onClaimed(claim, record);
        got.answer([record]);
        put.answer(INSERTED);
      },
      (error: unknown) => {
        put.fail(error);
        got.fail(error);
      },
    );
  }

  /** One after the other. */
  #goOn(insertion: Insertion, claim: Claim, put: Lone<InsertOutcome>, got: Lone<TaskRecord[]>): void {
    const inserted = this.#options.insert(insertion, put.slot);
    put.goOn(() => inserted);
    got.goOn(async (slot) => {
      await inserted;
      return this.#options.claim(claim, slot);
    });
  }

  /** Both in one call; null where Redis refused it, since something else is ready or counts. */
  async #send({ records }: Insertion, claim: Claim, slot: number): Promise<TaskRecord | null> {
    const { scripts, terms, firstState } = this.#options;
    const [now, leaseEnd] = terms(claim);
    const { id } = records[0]!;
    const identity = identityText(records[0]!);
    const [, ...words] = claimArguments(claim, leaseEnd);
    const values = [id, ...words.slice(0, 4), identity];
    const askedAt = performance.now();
    const answered = scripts.run('handOver', { now, mark: `i${slot}`, isUrgent: true, values });
    // While Redis works on it.
    const record = firstRecord(id, `0 ${identity}`, firstState(claim, 0));
    foreseeSubmission(record);
    const reply = await answered;
    if (reply.length === 0) return null;
    const [at, seq] = reply as [number, number];
    scripts.learn(at, askedAt);
    const { leaseExpiresAt, startedAt } = firstState(claim, at);
    return Object.assign(record, { seq, leaseExpiresAt, startedAt });
  }
}

/** Whether the submission is one task that is ready at once, under no limits, and what the claim asks for. */
function isSimple(insertion: Insertion, { filter, now }: Claim): boolean {
  const [record] = insertion.records;
  if (record === undefined || isStaged(insertion) || !isPlain(insertion, now)) return false;
  return filter === null || (filter.ids === null && laneMatches(record, filter));
}

/** Whether it is one task that is ready at once, under no limits. */
export function isPlain({ records, rules }: Insertion, now: number): boolean {
  const [record] = records;
  if (record === undefined || records.length > 1 || record.quota !== undefined) return false;
  return specialText(record, now, rules) === '';
}
