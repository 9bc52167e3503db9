import type { Clock } from '../clock.ts';
import { StaleApprovalError, TaskNotFoundError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { APPROVAL_TYPE, asked, type Decision, openQuestion, questionNow } from './approval.ts';
import type { ClaimFilter } from './claim-filter.ts';
import { isEnded, type NewTask, type Shown, type Task } from './task.ts';
import type { TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission } from './task-view.ts';
import type { TaskAction } from './transitions.ts';

/** So many approvals are opened, or results of dependencies read, at a time. */
const STEP_APPROVALS = 20;

const READY: ClaimFilter = { agentTypes: [APPROVAL_TYPE], priorityMin: null, ids: null, runnableBy: null };

export interface ApprovalsOptions {
  readonly store: TaskStore;
  readonly clock: Clock;
  readonly owner: string;
  readonly leaseMs: number;
  /** Takes an action on a task, as it is known, or chosen by how it stands. */
  readonly act: (
    id: string,
    wanted: TaskAction | ((record: TaskRecord) => { readonly action: TaskAction; readonly note: undefined }),
    known?: TaskRecord,
  ) => Promise<Task>;
  /** Lets in what was claimed: approvals are asked there. */
  readonly admit: (records: readonly TaskRecord[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

type Results = (before: Shown | undefined) => Shown['results'];

/**
 * Puts approvals to people, and takes their decisions. An approval becomes claimable like any other task, and
 * whoever's claim meets it asks: with its lease it is written as `waiting`, and no worker ever sees it. A process
 * that dies in between leaves a lease that ends.
 */
export class Approvals {
  readonly #options: ApprovalsOptions;
  #hasAny = false;

  constructor(options: ApprovalsOptions) {
    this.#options = options;
  }

  /** There are approvals: what becomes claimable may be one. */
  expect(): void {
    this.#hasAny = true;
  }

  /** An approval that is to be asked, maybe again. */
  async moved({ status }: Pick<TaskRecord, 'status'>): Promise<void> {
    this.#hasAny = true;
    if (status === 'pending') await this.open();
  }

  /** Opens what is claimable, where this process has heard of approvals; others have their sweeps. */
  async openExpected(): Promise<void> {
    if (this.#hasAny) await this.open();
  }

  /** Opens all approvals that are claimable now. Never rejects. */
  async open(): Promise<void> {
    const { store, clock, owner, leaseMs, admit, onError } = this.#options;
    try {
      for (;;) {
        const now = clock.now();
        const leaseExpiresAt = now + leaseMs;
        const claim = { limit: STEP_APPROVALS, owner, leaseExpiresAt, filter: READY, now } as const;
        const records = await store.claim({ ...claim, to: 'assigned' });
        await admit(records);
        if (records.length < STEP_APPROVALS) return;
      }
    } catch (error) {
      onError(error);
    }
  }

  /** Asks what was claimed just now. Never rejects: where it fails, the lease ends, and it is asked again. */
  async ask(record: TaskRecord, submission: NewTask): Promise<void> {
    const { clock, act, onError } = this.#options;
    const { approval } = submission;
    if (approval === undefined) return;
    try {
      const results = await this.#results(submission);
      const question = asked(questionNow(record, submission, results(undefined)), approval, clock.now());
      const value = question as unknown as JsonObject;
      const interrupts = [{ id: `approval:${record.fence}`, value }];
      const ending = { status: 'waiting', interrupts } as const;
      await act(record.id, { type: 'settle', fence: record.fence, ending }, record);
    } catch (error) {
      onError(error);
    }
  }

  /** @throws StaleApprovalError, AlreadyDecidedError, InvalidTransitionError, TaskNotFoundError */
  async decide(id: string, decision: Decision): Promise<Task> {
    const [known] = await this.#options.store.get([id]);
    if (!known) throw new TaskNotFoundError(id);
    const hashOf = await this.#hashes(known);
    const task = await this.#options.act(id, (record) => ({
      action: { type: 'decide', decision, hashNow: hashOf(record) },
      note: undefined,
    }));
    if (isEnded(task.status)) return task;
    throw new StaleApprovalError(id);
  }

  /** The alarm of a task that asks for approval rings. */
  async ring(known: TaskRecord): Promise<Task> {
    const hashOf = await this.#hashes(known);
    return this.#options.act(
      known.id,
      (record) => ({ action: { type: 'alarm', fence: null, hashNow: hashOf(record) }, note: undefined }),
      known,
    );
  }

  /** The hash of what a record of this task would show now. */
  async #hashes(known: TaskRecord): Promise<(record: TaskRecord) => string> {
    const submission = readSubmission(known);
    const results = known.status === 'waiting' ? await this.#results(submission) : () => ({});
    return (record) => questionNow(record, submission, results(openQuestion(record)?.shown)).hash;
  }

  async #results({ dependsOn = [], metadata }: NewTask): Promise<Results> {
    const ids = [...new Set(dependsOn.map((edge) => (typeof edge === 'string' ? edge : edge.id)))];
    const found: { readonly name: string; readonly result: JsonValue | undefined; readonly gone: boolean }[] =
      [];
    for (let from = 0; from < ids.length; from += STEP_APPROVALS) {
      const page = ids.slice(from, from + STEP_APPROVALS);
      const records = await this.#options.store.get(page);
      page.forEach((id, i) => {
        found.push({ name: nameOf(id, metadata), result: resultOf(records[i]), gone: !records[i] });
      });
    }
    // A dependency that was purged since has not changed.
    return (before) =>
      Object.fromEntries(
        found.flatMap(({ name, result, gone }) => {
          const value = gone ? before?.results[name] : result;
          return value === undefined ? [] : [[name, value]];
        }),
      );
  }
}

/** Whether it asks for approval now. */
export function isAsking({ agentType, status }: Pick<TaskRecord, 'agentType' | 'status'>): boolean {
  return agentType === APPROVAL_TYPE && status === 'waiting';
}

function resultOf(record: TaskRecord | null | undefined): JsonValue | undefined {
  if (record?.status !== 'completed') return undefined;
  return record.result === null ? null : (JSON.parse(record.result) as JsonValue);
}

/** By ref within the workflow that the metadata tell, else by id. */
function nameOf(id: string, metadata: object | undefined): string {
  const workflow = (metadata as { readonly workflow?: { readonly id?: unknown } } | undefined)?.workflow;
  const prefix = typeof workflow?.id === 'string' ? `${workflow.id}:` : '';
  return prefix !== '' && id.startsWith(prefix) ? (id.slice(prefix.length).split(':')[0] ?? id) : id;
}
