import { hash } from 'node:crypto';
import { AlreadyDecidedError, StaleApprovalError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { REASON_BYTES_MAX, SHOWN_BYTES_MAX } from './bounds.ts';
import { timeoutAt } from './clocks.ts';
import { readDetails, withDetails } from './details.ts';
import { end, refuse, release } from './moves.ts';
import {
  type Approval,
  type ApprovalQuestion,
  type ApprovalResult,
  isEnded,
  type NewTask,
  type Shown,
  type TaskError,
} from './task.ts';
import { cutBytes } from './task-error.ts';
import type { Change, TaskRecord } from './task-store.ts';

/** The agentType under which approvals are claimed. No submitter can give it: `@` is in no name. */
export const APPROVAL_TYPE = '@approval';

const REJECTED = 'REJECTED';

/** Who decides where nobody does in time. */
const NOBODY = 'timeout';

/** What somebody says of an approval that waits. */
export interface Decision {
  readonly approved: boolean;
  readonly by: string;
  readonly reason?: string | undefined;
  /** Of what was shown to them. */
  readonly hash?: string | undefined;
}

/** What an approval shows as things stand now. */
export function questionNow(
  record: TaskRecord,
  submission: NewTask,
  results: Shown['results'],
): Pick<ApprovalQuestion, 'question' | 'shown' | 'hash'> {
  const question = submission.approval?.question ?? '';
  const { workflow, ...metadata } = (readDetails(record.details).metadata ??
    submission.metadata ??
    {}) as JsonObject;
  const budget = new ShownBudget();
  const shared = (workflow as { readonly input?: JsonObject } | undefined)?.input;
  const input = budget.take({ ...shared, ...(submission.payload as JsonObject) });
  const shown: Shown = {
    input,
    ...(Object.keys(metadata).length > 0 && { metadata: budget.take(metadata) }),
    results: Object.fromEntries(Object.entries(results).map(([name, value]) => [name, budget.take(value)])),
  };
  return { question, shown, hash: hashOfJson({ question, shown }) };
}

/** The question as it is put to people, with its time. */
export function asked(
  content: Pick<ApprovalQuestion, 'question' | 'shown' | 'hash'>,
  { timeoutMs, onTimeout = 'reject' }: Approval,
  now: number,
): ApprovalQuestion {
  return timeoutMs === undefined ? content : { ...content, timeoutAt: timeoutAt(now, timeoutMs), onTimeout };
}

/** The open question of an approval that waits. */
export function openQuestion(record: TaskRecord): ApprovalQuestion | undefined {
  const value: unknown = readDetails(record.details).interrupts?.[0]?.value;
  return typeof value === 'object' && value !== null && 'hash' in value
    ? (value as ApprovalQuestion)
    : undefined;
}

/**
 * What a decision does to an approval; null where it says what was decided already. Where the task or its input
 * has changed since it was asked, it is asked again: then the task is pending, and nothing was decided.
 *
 * @throws AlreadyDecidedError, StaleApprovalError, InvalidTransitionError
 */
export function decideApproval(
  record: TaskRecord,
  decision: Decision,
  hashNow: string,
  now: number,
): Change | null {
  if (record.agentType !== APPROVAL_TYPE) refuse(record, 'decided: it asks for no approval');
  if (isEnded(record.status)) {
    const approved = decisionOf(record);
    if (approved === null) refuse(record, 'decided');
    if (approved === decision.approved) return null;
    throw new AlreadyDecidedError(record.id, approved);
  }
  if (record.status !== 'waiting') refuse(record, 'decided before it is asked');
  if (openQuestion(record)?.hash !== hashNow) return askAgain(record, now);
  if (decision.hash !== undefined && decision.hash !== hashNow) throw new StaleApprovalError(record.id);
  return conclude(record, decision, now);
}

/** Nobody was in time. What has changed since is not approved by a clock, but asked again. */
export function timeOutApproval(
  record: TaskRecord,
  { onTimeout = 'reject', timeoutMs }: Approval,
  hashNow: string | undefined,
  now: number,
): Change {
  if (openQuestion(record)?.hash !== hashNow) return askAgain(record, now);
  const reason = `nobody decided within ${timeoutMs} ms`;
  return conclude(record, { approved: onTimeout === 'approve', by: NOBODY, reason }, now);
}

function askAgain(record: TaskRecord, now: number): Change {
  const details = withDetails(record.details, { interrupts: undefined, askedAt: undefined });
  return release({ ...record, details }, undefined, 'asked again: what is to be approved has changed', now);
}

function conclude(record: TaskRecord, { approved, by, reason }: Decision, now: number): Change {
  const why = reason === undefined ? '' : `: ${reason}`;
  const text = cutBytes(`${approved ? 'approved' : 'rejected'} by ${by}${why}`, REASON_BYTES_MAX);
  const result: ApprovalResult = { approved, by, ...(reason !== undefined && { reason }), at: now };
  const error: TaskError | undefined = approved
    ? undefined
    : { name: 'RejectedError', message: text, code: REJECTED };
  return end(record, approved ? 'completed' : 'failed', now, text, {
    result: JSON.stringify(result),
    details: withDetails(record.details, { interrupts: undefined, askedAt: undefined, error }),
  });
}

/** How it was decided; null where it ended in another way. */
function decisionOf({ result }: TaskRecord): boolean | null {
  if (result === null) return null;
  const { approved } = JSON.parse(result) as Partial<ApprovalResult>;
  return typeof approved === 'boolean' ? approved : null;
}

/** What is too much to be shown is told by its size, and bound by its hash all the same. */
class ShownBudget {
  #bytesLeft = SHOWN_BYTES_MAX;

  take(value: JsonValue): JsonValue {
    const bytes = Buffer.byteLength(JSON.stringify(value));
    if (bytes > this.#bytesLeft) return { omitted: { bytes, sha256: hashOfJson(value) } };
    this.#bytesLeft -= bytes;
    return value;
  }
}

/** Of the JSON with sorted keys: the same for the same content, whichever store it comes from. */
function hashOfJson(value: unknown): string {
  const text = JSON.stringify(value, (_, item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  return hash('sha256', text, 'base64url');
}
