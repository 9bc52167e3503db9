import { InvalidOptionError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { requireOptions } from '../options.ts';
import type { ApprovalQuestion, Task } from '../queue/task.ts';
import type { TaskQueue } from '../queue/task-queue.ts';
import { type BudgetQuestion, budgetAsked } from './budget-question.ts';
import { membershipOf } from './workflow-membership.ts';

export const INBOX_ENTRIES_MAX = 1_000;
const ENTRIES_DEFAULT = 50;
const PAGE_TASKS = 1_000;

interface Waiting {
  readonly taskId: string;
  /** Since when it waits, ms since the epoch. */
  readonly since: number;
  /** When it is decided without anybody, or over: ms since the epoch. */
  readonly until?: number;
  readonly agent?: string;
  /** Where it is a task of a workflow. */
  readonly workflow?: { readonly id: string; readonly name: string; readonly ref: string };
}

/** Something that waits for a person. */
export type InboxEntry =
  /** Decide it with `conductor.approve` or `conductor.reject`, and `hash` beside it. */
  | (Waiting & { readonly kind: 'approval' } & ApprovalQuestion)
  /** Answer it with `conductor.answer`. */
  | (Waiting & { readonly kind: 'interrupt'; readonly interruptId: string; readonly value: JsonValue })
  /** A budget is spent: answer it with `conductor.answer`: 'raise', { raise: { tokens, … } } or 'stop'. */
  | (Waiting & { readonly kind: 'budget'; readonly interruptId: string; readonly value: BudgetQuestion })
  /** Set to waiting by hand, without a question. */
  | (Waiting & { readonly kind: 'waiting' });

export interface InboxOptions {
  /** 1–1,000. @default 50 */
  readonly limit?: number | undefined;
  /** Of the page before. */
  readonly cursor?: string | undefined;
}

export interface InboxPage {
  /** Oldest first. */
  readonly entries: readonly InboxEntry[];
  /** Where to go on; absent at the end. */
  readonly cursor?: string;
}

/** Where an entry stands in the order: since when, of which task, its how many-th question. */
type Place = readonly [since: number, taskId: string, index: number];

interface Placed {
  readonly place: Place;
  readonly entry: InboxEntry;
}

/**
 * All that waits for people, approvals and questions of graphs, by when it began to wait. Waiting tasks are read in
 * pages, and no more is kept in memory than the page that is asked for.
 */
export async function inbox(queue: TaskQueue, options: InboxOptions): Promise<InboxPage> {
  const { limit = ENTRIES_DEFAULT, cursor } = requireOptions(options, 'an object');
  if (!Number.isInteger(limit) || limit < 1 || limit > INBOX_ENTRIES_MAX)
    throw new InvalidOptionError('limit', `a whole number from 1 to ${INBOX_ENTRIES_MAX}`, limit);
  const after = cursor === undefined ? undefined : toPlace(cursor);
  let first: Placed[] = [];
  let from: string | undefined;
  do {
    const page = await queue.listTasks({ status: 'waiting', limit: PAGE_TASKS, cursor: from });
    const found = page.tasks.flatMap(entriesOf).filter(({ place }) => isAfter(place, after));
    // One more than asked for tells whether there is another page.
    first = [...first, ...found].sort((a, b) => compare(a.place, b.place)).slice(0, limit + 1);
    from = page.cursor;
  } while (from !== undefined);
  const shown = first.slice(0, limit);
  const last = shown.at(-1);
  const isMore = first.length > limit && last !== undefined;
  return { entries: shown.map(({ entry }) => entry), ...(isMore && { cursor: toCursor(last.place) }) };
}

function entriesOf(task: Task): Placed[] {
  const waiting = waitingOf(task);
  const { interrupts = [], approval } = task;
  const placeOf = (index: number): Place => [waiting.since, task.id, index];
  if (interrupts.length === 0) return [{ place: placeOf(0), entry: { ...waiting, kind: 'waiting' } }];
  return interrupts.map(({ id, value }, index) => {
    const entry: InboxEntry =
      approval === undefined
        ? questionEntry(waiting, id, value)
        : approvalEntry(waiting, value as unknown as ApprovalQuestion);
    return { place: placeOf(index), entry };
  });
}

function questionEntry(waiting: Waiting, interruptId: string, value: JsonValue): InboxEntry {
  if (budgetAsked(interruptId) === null) return { ...waiting, kind: 'interrupt', interruptId, value };
  return { ...waiting, kind: 'budget', interruptId, value: value as unknown as BudgetQuestion };
}

function approvalEntry(waiting: Waiting, question: ApprovalQuestion): InboxEntry {
  const until = Math.min(waiting.until ?? Infinity, question.timeoutAt ?? Infinity);
  return { ...waiting, kind: 'approval', ...question, ...(until !== Infinity && { until }) };
}

function waitingOf(task: Task): Waiting {
  const { id, askedAt, startedAt, createdAt, deadline, assignedAgent } = task;
  const membership = membershipOf(task);
  return {
    taskId: id,
    since: askedAt ?? startedAt ?? createdAt,
    ...(deadline !== undefined && { until: deadline }),
    ...(assignedAgent !== undefined && { agent: assignedAgent }),
    ...(membership && {
      workflow: { id: membership.id, name: membership.name, ref: membership.ref },
    }),
  };
}

function isAfter(place: Place, after: Place | undefined): boolean {
  return after === undefined || compare(place, after) > 0;
}

function compare([sinceA, idA, indexA]: Place, [sinceB, idB, indexB]: Place): number {
  if (sinceA !== sinceB) return sinceA - sinceB;
  if (idA !== idB) return idA < idB ? -1 : 1;
  return indexA - indexB;
}

function toCursor(place: Place): string {
  return place.join('|');
}

function toPlace(cursor: string): Place {
  const [since, taskId, index] = String(cursor).split('|');
  if (!/^\d{1,16}$/.test(since ?? '') || !taskId || !/^\d{1,6}$/.test(index ?? ''))
    throw new InvalidOptionError('cursor', 'a cursor that inbox() returned', String(cursor).slice(0, 32));
  return [Number(since), taskId, Number(index)];
}
