/**
 * The words of the queue.
 *
 * A *task* is a unit of work; plain data. A *claim* takes a task and gives a *lease*: the right to work on it
 * until `expiresAt`, proved by a *fence*, a number that rises with each claim. A *heartbeat* extends the
 * lease; *settling* ends the attempt with an *outcome*. A *failed* task is out of retries: the dead letter.
 */

import type { JsonObject, JsonValue } from '../json.ts';
import type { Budget } from './budget.ts';
import type { Effect } from './effects.ts';
import type { Failure } from './failures.ts';
import type { Limit } from './limits.ts';
import type { LogPage } from './task-log.ts';

/**
 * `pending` also covers delayed and blocked tasks: those are facets, shown as `runAt` and `blockedBy`.
 * `assigned` is leased but not started. `waiting` waits for a person and holds neither lease nor slot.
 */
export const TASK_STATUSES = [
  'pending',
  'assigned',
  'in_progress',
  'waiting',
  'retrying',
  'completed',
  'failed',
  'cancelled',
  'skipped',
] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

export type EndStatus = 'completed' | 'failed' | 'cancelled' | 'skipped';

export function isEnded(status: TaskStatus): status is EndStatus {
  return status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'skipped';
}

export function isLeased(status: TaskStatus): status is 'assigned' | 'in_progress' {
  return status === 'assigned' || status === 'in_progress';
}

/** 1–10, 10 goes first; names map to critical 10, high 8, medium 5, low 2. */
export type Priority = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 'critical' | 'high' | 'medium' | 'low';

/** LangGraph's words for back-off; intervals in ms. Used after failures and after crashes. */
export interface RetryPolicy {
  readonly initialInterval: number;
  readonly backoffFactor: number;
  readonly maxInterval: number;
  readonly jitter: boolean;
}

/** The parts of a retry policy that differ from the default. */
export type RetryOptions = { readonly [K in keyof RetryPolicy]?: RetryPolicy[K] | undefined };

/**
 * `success`: completed · `failure`: failed (dead letter) · `completion`: ended in any way, also cancelled or
 * skipped · `custom`: completed, and the condition registered under that name holds for its result.
 */
export type DependencyCondition = 'success' | 'failure' | 'completion' | { readonly custom: string };

/**
 * Tests of one place in a result; all that are given must hold. Values are compared with their own kind alone:
 * `'10'` is not 10. Where the place is missing only `exists: false` holds, and `ne` does not.
 */
export interface WhereTest {
  readonly eq?: string | number | boolean | null | undefined;
  readonly ne?: string | number | boolean | null | undefined;
  readonly gt?: number | string | undefined;
  readonly gte?: number | string | undefined;
  readonly lt?: number | string | undefined;
  readonly lte?: number | string | undefined;
  readonly in?: readonly (string | number | boolean | null)[] | undefined;
  readonly exists?: boolean | undefined;
}

/**
 * A condition on a result that needs no code, so that every process can judge it: `{ 'result.coverage':
 * { gte: 80 } }`. Places are dotted paths from `result`; all must hold. At most WHERE_PLACES_MAX places and
 * WHERE_BYTES_MAX bytes.
 */
export interface Where {
  readonly [place: string]: WhereTest;
}

/** What a dependency must have come to. With `where`: completed, and its result fits. */
export type Dependency =
  | {
      readonly id: string;
      /** @default 'success' */
      readonly on?: DependencyCondition | undefined;
      readonly where?: undefined;
    }
  | { readonly id: string; readonly where: Where; readonly on?: undefined };

/** What a task's own result must be: `custom` is the name of a registered condition. */
export type Validation =
  | { readonly where: Where; readonly custom?: undefined }
  | { readonly custom: string; readonly where?: undefined };

/**
 * A step that a person takes: the task waits, without a slot and without an agent, until somebody approves or
 * rejects what is shown (the question, the task's input, the results of its dependencies). Approved it has
 * completed, rejected it has failed with code REJECTED.
 */
export interface Approval {
  readonly question: string;
  /** Nobody decides for so long, ms, from when it is asked: then `onTimeout` does. @default never */
  readonly timeoutMs?: number | undefined;
  /** @default 'reject' */
  readonly onTimeout?: 'approve' | 'reject' | undefined;
}

/** What a submitter may say of a task; everything else is the engine's. */
export interface NewTask {
  /** A JSON object, checked when it is submitted. */
  readonly payload: object;
  /** Makes the submission idempotent. `[A-Za-z0-9_.:-]`, 1–128 characters. @default a UUID v7 */
  readonly id?: string | undefined;
  /** @default 5 */
  readonly priority?: Priority | number | undefined;
  /** Matched with the agents' capabilities. Without it every agent may take the task. */
  readonly agentType?: string | undefined;
  /** Pins the task to the agent of this name. */
  readonly agent?: string | undefined;
  readonly dependsOn?: readonly (string | Dependency)[] | undefined;
  /**
   * `all`: every dependency must hold, and the first that cannot skips the task. `any`: the first that holds is
   * enough, and the task is skipped when the last cannot. @default 'all'
   */
  readonly join?: 'all' | 'any' | undefined;
  /** Not before this time, ms since the epoch. */
  readonly runAt?: number | undefined;
  /** Not before this many ms from now. */
  readonly delayMs?: number | undefined;
  /**
   * Bounds one attempt, ms, also where its worker heartbeats no more. Nearest wins: task, agentType, agent,
   * queue.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Ends an attempt that shows no sign of life for so long, ms: no chunk of its graph's stream, no progress
   * noted. A failure with code IDLE_TIMEOUT, tried again like any other. The worker watches it; where that one
   * has died, the lease ends the attempt.
   */
  readonly idleTimeoutMs?: number | undefined;
  /**
   * Ends a task that has waited so long for its first start, ms: `failed` with code EXPIRED, or `skipped`.
   * Counts from its submission, or from `runAt` where that is later; waiting for dependencies is waiting too.
   */
  readonly expiresInMs?: number | undefined;
  /** @default 'fail' */
  readonly onExpiry?: 'fail' | 'skip' | undefined;
  /**
   * What has not ended then, ms since the epoch, ends as `failed` with code DEADLINE_EXCEEDED, wherever it
   * stands; it is not tried again.
   */
  readonly deadline?: number | undefined;
  /** Makes the task a question to a person, which no agent runs. */
  readonly approval?: Approval | undefined;
  /** At most 1 + maxRetries runs that fail. @default 3 */
  readonly maxRetries?: number | undefined;
  /** Failed after this many starts that crashed. @default 5 */
  readonly maxCrashes?: number | undefined;
  readonly retry?: RetryOptions | undefined;
  /** A JSON object, like the payload. */
  readonly metadata?: object | undefined;
  /** Set by `enqueueChildren` alone. */
  readonly parent?: Parent | undefined;
  /**
   * What may be spent on it, over all its attempts, by its children too, and with a `key` by all tasks of the key: the
   * model call that comes after is refused, and the task waits until somebody raises the budget or stops it.
   */
  readonly budget?: Budget | readonly Budget[] | undefined;
  /** Bounds it shares with other tasks, in every process; at most LIMITS_MAX, with the queue's own. */
  readonly limits?: readonly Limit[] | undefined;
  /**
   * Whose backlog it belongs to, e.g. a tenant's: backlogs take turns, so that a long one delays a short one by
   * little. Tasks without one share a backlog. Priorities order the tasks within each.
   */
  readonly fairKey?: string | undefined;
  /** Turns of its backlog to one of a backlog of weight 1; 1–1,000, with a fairKey. @default 1 */
  readonly fairWeight?: number | undefined;
  /** A result that does not fit is no success: the attempt has failed, with code RESULT_REJECTED, and is tried again. */
  readonly validate?: Validation | undefined;
}

/** Whose child a task is. */
export interface Parent {
  readonly id: string;
  /** 1 for the child of a task that is nobody's. */
  readonly depth: number;
  /** The tasks above the parent, nearest first. */
  readonly above?: readonly string[] | undefined;
  /** Of the parent, or the next one above that has one. */
  readonly workflow?: string | undefined;
  /** Accounts of the budgets that those above stay within, and this one with them. */
  readonly budgets?: readonly string[] | undefined;
}

export interface Lease {
  readonly owner: string;
  readonly fence: number;
  /** ms since the epoch */
  readonly expiresAt: number;
}

export interface TaskError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}

/**
 * A question that a run put to a person. The id names one question for ever, also where a node asks several
 * times: an answer to one can never be taken for an answer to the next.
 */
export interface TaskInterrupt {
  readonly id: string;
  readonly value: JsonValue;
}

/** How an approval was decided; the result of its task. */
export interface ApprovalResult {
  readonly approved: boolean;
  /** `timeout` where nobody was in time. */
  readonly by: string;
  readonly reason?: string;
  /** ms since the epoch */
  readonly at: number;
}

/** What a person is shown with an approval: the value of its question in `task.interrupts`. */
export interface ApprovalQuestion {
  readonly question: string;
  readonly shown: Shown;
  /** Of question and shown. A decision is for this content alone. */
  readonly hash: string;
  /** When `onTimeout` decides, ms since the epoch. */
  readonly timeoutAt?: number;
  readonly onTimeout?: 'approve' | 'reject';
}

/** What does not fit stands as `{ omitted: { bytes, sha256 } }`, see SHOWN_BYTES_MAX. */
export interface Shown {
  /** The task's payload, on top of the input of its workflow. */
  readonly input: JsonValue;
  readonly metadata?: JsonValue;
  /** Of the dependencies that have completed, by ref within a workflow, else by id. */
  readonly results: { readonly [name: string]: JsonValue };
}

/** A person's answer to one question, kept until the task is purged. */
export interface TaskAnswer {
  readonly id: string;
  readonly value: JsonValue;
}

/** One agent's row in the table by which a task was assigned. */
export interface AgentScore {
  readonly agent: string;
  readonly score: number;
  /**
   * What the score comes from: points by reason, e.g. `{ capability: 50, priority: 25, load: -5 }`, or what was drawn,
   * e.g. `{ success: 0.92, ms: 4_300 }`.
   */
  readonly parts: Readonly<Record<string, number>>;
}

export interface Task<Payload = JsonObject, Result = JsonValue> {
  readonly id: string;
  readonly payload: Payload;
  readonly priority: number;
  readonly status: TaskStatus;
  readonly agentType?: string;
  readonly agent?: string;
  readonly assignedAgent?: string;
  /** The keys of its limits, and what it weighs under their rates. */
  readonly limits?: readonly { readonly key: string; readonly weight: number }[];
  readonly fairKey?: string;
  readonly budget?: Budget | readonly Budget[];
  /** The score table of the last assignment, best first. */
  readonly scores?: readonly AgentScore[];
  /**
   * Where the last assignment stands among all that a coordinator did: which of its process's it is, and which of its
   * choices and ends of runs, counted, the choice and the end of its run were. Times in ms do not tell their order.
   */
  readonly turns?: readonly number[];
  /** Which run of this life this is or will be, from 1: retryCount + crashes + 1. */
  readonly attempt: number;
  readonly retryCount: number;
  readonly maxRetries: number;
  readonly crashes: number;
  readonly maxCrashes: number;
  /** All times are ms since the epoch. */
  readonly runAt: number;
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly completedAt?: number;
  readonly timeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly deadline?: number;
  readonly approval?: Approval;
  readonly dependsOn: readonly Dependency[];
  readonly parent?: Parent;
  /** Ids of the tasks that it enqueued while it ran; some may be purged. */
  readonly children?: readonly string[];
  /** Its calls with a side effect that were started, in the order of their first start; see `once`. */
  readonly effects?: readonly Effect[];
  /** How its attempts failed, and what followed; the newest ten, oldest first. */
  readonly failures?: readonly Failure[];
  /** Absent where all of them are needed. */
  readonly join?: 'any';
  /** Ids of the dependencies that are still undecided. */
  readonly blockedBy: readonly string[];
  readonly lease?: Lease;
  readonly result?: Result;
  readonly error?: TaskError;
  readonly progress?: JsonValue;
  /** When progress was last noted. */
  readonly progressAt?: number;
  /** While it waits for a person: since when. */
  readonly askedAt?: number;
  /** The open questions. */
  readonly interrupts?: readonly TaskInterrupt[];
  readonly answers?: readonly TaskAnswer[];
  readonly metadata: JsonObject;
  readonly version: number;
}

/**
 * How an attempt ended. Policy decides what follows: a failure with retries left becomes `retrying`. One whose
 * error says that there were too many calls (RateLimitError, status 429) is no failure: the task goes back
 * uncharged, and the keys of its limits are closed until the error says so.
 */
export type Outcome = (
  | { readonly status: 'completed'; readonly result?: unknown }
  | {
      readonly status: 'failed';
      readonly error: unknown;
      readonly retry?: boolean | undefined;
      /** What ran it has died: charged to `crashes`, not to `retryCount`. @default false */
      readonly crashed?: boolean | undefined;
    }
  | {
      readonly status: 'released';
      readonly runAt?: number | undefined;
      readonly reason?: string | undefined;
      /** false: nothing was done yet, and its time to expire runs on. @default true */
      readonly hasBegun?: boolean | undefined;
      /** What kept it from running, shown as `task.error` until it goes on. */
      readonly error?: unknown;
    }
  | {
      readonly status: 'waiting';
      readonly interrupts: readonly TaskInterrupt[];
      /** It goes on by itself when all of these tasks have ended, in whatever way: it is pending, behind them. */
      readonly tasks?: readonly string[] | undefined;
    }
  | { readonly status: 'cancelled'; readonly reason?: string | undefined }
) & {
  /** What the attempt weighed in truth under the rates of its limits, by key, where that is not what was reserved. */
  readonly spent?: Readonly<Record<string, number>> | undefined;
  /** Added to the task's log in the same step. */
  readonly log?: readonly LogPage[] | undefined;
  /** With `failed` and `waiting`: what is kept of the failure for the next attempt. */
  readonly failure?: Failure | undefined;
};

/** One transition in a task's history. `from` is null for the submission. */
export interface TaskEvent {
  readonly taskId: string;
  /** Counts from 1 within the task. */
  readonly seq: number;
  readonly from: TaskStatus | null;
  readonly to: TaskStatus;
  /** ms since the epoch */
  readonly at: number;
  readonly worker?: string;
  readonly reason?: string;
}
