import { systemClock } from '../../../clock.ts';
import type { InsertOutcome, TaskRecord } from '../../task-store.ts';
import { isPlain } from './hand-over.ts';
import type { Insertion } from './insertions.ts';
import { identityText } from './record-text.ts';
import { INSERTED, toOutcomes } from './replies.ts';
import type { ScriptRunner } from './script-runner.ts';
import { isAsGranted } from './standby.ts';

/** Larger submissions are fetched by a claim. */
const SUBMISSION_CHARS_MAX = 64 * 1024;
/** In this part of its lease a worker has to say that it heard of the task it was granted; it has a heartbeat by then. */
const RECALL_PART = 1 / 2;
/** Several are asked about in one call, up to so much of that time too late. */
const LATE_PART = 1 / 8;

/** More are left to their leases. */
const GRANTS_MAX = 10_000;

export interface GrantsOptions {
  readonly scripts: ScriptRunner;
  readonly read: (ids: readonly string[]) => Promise<ReadonlyMap<string, TaskRecord>>;
  readonly giveBack: (record: TaskRecord) => Promise<void>;
  /** Whether nothing goes with what is sent now. */
  readonly isAlone: () => boolean;
}

interface Grant {
  readonly to: string;
  readonly id: string;
  /** When it is taken back, by `performance.now()`, and how much later at most. */
  readonly due: number;
  readonly lateMs: number;
}

/**
 * The submitter's side of a hand-over between processes: a lone submission is made by a program that claims it for a
 * worker that stands by (see `Standby`), where there is one. A worker that has been frozen, or cut off without a word,
 * says nothing: then the task is taken back, and nobody is charged for it.
 */
export class Grants {
  readonly #options: GrantsOptions;
  #grants: Grant[] = [];
  #timer: { readonly at: number; readonly handle: unknown } | undefined;
  #isClosed = false;

  constructor(options: GrantsOptions) {
    this.#options = options;
  }

  /** As `sendInsertions`, for a single one that `isGrantable`. */
  async send({ records, now }: Insertion, slot: number): Promise<InsertOutcome> {
    const { id } = records[0]!;
    const values = ['', 1, id, identityText(records[0]!)];
    const { scripts, isAlone } = this.#options;
    const reply = await scripts.run('insertLone', { now, mark: `i${slot}`, isUrgent: isAlone(), values });
    const [, kind, found] = reply;
    if (kind !== 'granted') return toOutcomes(reply, 1)[0]!;
    const [to, lease] = found as [string, string];
    this.#note(to, id, RECALL_PART * Number(lease));
    return INSERTED;
  }

  close(): void {
    this.#isClosed = true;
    systemClock.clearTimeout(this.#timer?.handle);
  }

  #note(to: string, id: string, ms: number): void {
    if (this.#grants.length >= GRANTS_MAX) return;
    const grant = { to, id, due: performance.now() + ms, lateMs: LATE_PART * ms };
    this.#grants.push(grant);
    this.#arm(latest(grant));
  }

  #arm(at: number): void {
    if (this.#isClosed || (this.#timer !== undefined && at >= this.#timer.at)) return;
    systemClock.clearTimeout(this.#timer?.handle);
    const handle = systemClock.setTimeout(() => void this.#recallDue(), at - performance.now());
    this.#timer = { at, handle };
  }

  async #recallDue(): Promise<void> {
    this.#timer = undefined;
    const now = performance.now();
    const due = this.#grants.filter((grant) => grant.due <= now);
    this.#grants = this.#grants.filter((grant) => grant.due > now);
    if (this.#grants.length > 0) this.#arm(this.#grants.reduce(earliest, Number.POSITIVE_INFINITY));
    // Where Redis cannot be reached now, the leases end by themselves.
    await this.#recall(due).catch(() => {});
  }

  async #recall(due: readonly Grant[]): Promise<void> {
    if (due.length === 0) return;
    const { scripts, read, giveBack } = this.#options;
    const values = due.flatMap(({ to, id }) => [to, id]);
    const unheard = await scripts.run('recall', { now: '', mark: scripts.ownMark('g'), values });
    if (unheard.length === 0) return;
    const records = await read(unheard as string[]);
    await Promise.all([...records.values()].filter(isAsGranted).map((record) => giveBack(record)));
  }
}

function latest({ due, lateMs }: Grant): number {
  return due + lateMs;
}

function earliest(at: number, grant: Grant): number {
  return Math.min(at, latest(grant));
}

/** Whether it is one task of no great size that is ready at once, under no limits. */
export function isGrantable(insertion: Insertion): boolean {
  return insertion.bytes <= SUBMISSION_CHARS_MAX && isPlain(insertion, insertion.now);
}
