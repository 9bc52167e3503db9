import type { ClaimFilter, Kind } from './claim-filter.ts';
import type { Gate, GateRule } from './gate.ts';
import type { LimitUse, Quota } from './quota.ts';
import type { Registry } from './registry.ts';
import type { EndStatus, NewTask, TaskEvent, TaskStatus } from './task.ts';
import type { LogPage, TaskLog } from './task-log.ts';

/** The part of a task that changes. Stores write it as a whole and never look into `result` and `details`. */
export interface TaskState {
  readonly status: TaskStatus;
  /** Not claimable before; ms since the epoch. */
  readonly runAt: number;
  readonly retryCount: number;
  readonly crashes: number;
  /** Rises by one with each claim and never falls. */
  readonly fence: number;
  readonly owner: string | null;
  readonly leaseExpiresAt: number | null;
  /** When policy must look at the task again, whatever it waits for (see `alarmed`); null while leased or ended. */
  readonly alarmAt: number | null;
  readonly startedAt: number | null;
  readonly completedAt: number | null;
  /** JSON text. */
  readonly result: string | null;
  /** JSON text of what only some tasks have: error, interrupts, answers, metadata changes, assignment. */
  readonly details: string | null;
}

/** The part of a task that never changes after insert. */
export interface TaskIdentity {
  readonly id: string;
  /** JSON text of the submission, opaque to the store; empty where there is `content`. */
  readonly submission: string;
  /** The submission as an object that nobody else can reach, in place of its text; only in a store in this process. */
  readonly content?: NewTask | undefined;
  /** SHA-256 of id and `submission`, base64; opaque to the store, and empty in a store in this process. */
  readonly hash: string;
  readonly priority: number;
  readonly agentType: string | null;
  readonly agent: string | null;
  /** Smaller goes first; a safe integer. Ties go by the sequence of insert. */
  readonly rank: number;
  readonly createdAt: number;
  /** Only of tasks that stay under limits, or take turns. */
  readonly quota?: Quota | undefined;
}

export interface TaskRecord extends TaskIdentity, TaskState {
  /** Queue-wide sequence given at insert; never given twice. */
  readonly seq: number;
  /** Raised by one with every write to the record. */
  readonly version: number;
  /** The seq of its latest event, which is also how many events it has had. */
  readonly events: number;
  /** Ids of dependencies whose edge is undecided, in the order submitted. */
  readonly blockedBy: readonly string[];
}

/**
 * An edge as stored: `condition` is the name of a custom condition when `on` is 'custom', else null. A name is
 * ASCII without spaces, and up to WHERE_BYTES_MAX long: a `where` is one, as JSON.
 */
export interface Edge {
  readonly dependencyId: string;
  readonly on: 'success' | 'failure' | 'completion' | 'custom';
  readonly condition: string | null;
}

/** A pending task to insert: runAt tells when it may be claimed, `dependsOn` what it waits for. */
export interface NewRecord extends TaskIdentity {
  readonly runAt: number;
  readonly alarmAt: number | null;
  readonly dependsOn: readonly Edge[];
  /** `any`: the first edge that holds releases the task and voids the others; it is skipped when the last fails. */
  readonly join: 'all' | 'any';
}

/** Either everything was inserted, or `conflicts` or `unknown` says why nothing was. */
export interface InsertOutcome {
  /** Tasks that exist already under an id of this batch. */
  readonly conflicts: readonly TaskRecord[];
  /** Dependencies that are neither stored nor in the batch, by index of the record in the batch. */
  readonly unknown: readonly { readonly index: number; readonly dependencyId: string }[];
  readonly effects: Effects;
  /** A rule that came with it made a limit tighter: who holds tasks ahead (holding-store.ts) was told to give them back. */
  readonly recalls?: boolean;
}

/** What an ending did to other tasks, in the same atomic step. */
export interface Effects {
  /** Tasks whose last undecided edge was decided in their favour. */
  readonly released: readonly string[];
  /** Tasks that were skipped, since a condition can no longer hold. */
  readonly skipped: readonly string[];
  /** Some edge with a custom condition now waits for `judge`. */
  readonly unjudged: boolean;
}

export const NO_EFFECTS: Effects = { released: [], skipped: [], unjudged: false };

export interface Claim {
  readonly limit: number;
  readonly owner: string;
  readonly leaseExpiresAt: number;
  readonly filter: ClaimFilter | null;
  /** `in_progress` stores the start in the same step. */
  readonly to: 'assigned' | 'in_progress';
  readonly now: number;
}

/** A compare-and-set: written only while the record's version is `version`. */
export interface Change {
  readonly id: string;
  readonly version: number;
  readonly next: TaskState;
  /** The transition for the history; absent where the status stays. */
  readonly event?: Omit<TaskEvent, 'taskId' | 'seq'>;
  /**
   * Edges that a task which becomes pending waits for from now on, all of them; those to tasks that have ended, or
   * are not stored, are decided at once: what is gone has failed, unless `completion` is all that was wanted.
   */
  readonly dependsOn?: readonly Edge[] | undefined;
  /** How those edges are joined. @default 'all' */
  readonly join?: NewRecord['join'] | undefined;
  /** What the attempt's start weighed in truth, of the limits whose weight was not what was reserved. */
  readonly spent?: readonly LimitUse[] | undefined;
  /** Limits that let nothing pass before this time: the later one counts where there is one already. */
  readonly closes?: readonly { readonly key: string; readonly until: number }[] | undefined;
  /** Added to the task's log in the same step, before the event. */
  readonly log?: readonly LogPage[] | undefined;
}

/** Entries for a task's log; they are refused unless the task is leased with this fence. */
export interface Logging {
  readonly id: string;
  readonly fence: number;
  readonly pages: readonly LogPage[];
}

/** What an operator, or a submission, says of a key. What is absent stays as it is. */
export interface GateChange {
  readonly key: string;
  readonly rule?: GateRule | undefined;
  readonly isPaused?: boolean | undefined;
  /** 0 opens it. */
  readonly closedUntil?: number | undefined;
}

/** Whether it may keep back what it let pass before. Whoever opens a key waits for nobody, e.g. a node that died. */
export function mayShut({ isPaused, closedUntil, rule }: GateChange): boolean {
  return isPaused === true || (closedUntil ?? 0) > 0 || rule !== undefined;
}

/** The record as it stands after a change, and what its ending did. */
export interface Applied {
  readonly record: TaskRecord;
  readonly effects: Effects;
  /** Limits that were left let others go on. Told by stores whose tasks are held ahead. */
  readonly opened?: boolean;
}

/** A custom condition on a completed dependency that nobody has evaluated yet. */
export interface UnjudgedEdge {
  readonly taskId: string;
  readonly dependencyId: string;
  readonly condition: string;
}

export interface Verdict extends UnjudgedEdge {
  readonly holds: boolean;
  readonly reason: string;
}

export interface ListQuery {
  readonly statuses: readonly TaskStatus[] | null;
  readonly agentTypes: readonly string[] | null;
  /** Only tasks created at or after this time. */
  readonly createdAfter: number | null;
  /** Only tasks with a sequence above this one. */
  readonly after: number;
  readonly limit: number;
}

/** A page in order of sequence. `next` is where to go on, null at the end; a page may be short of its limit. */
export interface ListPage {
  readonly records: readonly TaskRecord[];
  readonly next: number | null;
}

export interface StoreCounts {
  readonly byStatus: Readonly<Record<TaskStatus, number>>;
  /** Waiting for runAt / for dependencies; both are among pending and retrying. */
  readonly delayed: number;
  readonly blocked: number;
  /** When the longest waiting of the next claimable tasks was created, null without one; a store looks at a thousand of them or more. */
  readonly oldestReadyAt: number | null;
  /** The kinds of those tasks, each once, in any order. */
  readonly readyKinds: readonly Kind[];
  /** Endings in the last full minutes, newest last: at most `THROUGHPUT_MINUTES_MAX` entries. */
  readonly endedPerMinute: readonly {
    readonly minute: number;
    readonly status: EndStatus;
    readonly count: number;
  }[];
  readonly paused: boolean;
}

/** What a purge has removed. */
export interface Purged {
  /** Ids of tasks. */
  readonly tasks: readonly string[];
  /**
   * What checkpoints can go: the thread of each of those tasks, but for one that tasks share which are stored, and
   * the threads that purged tasks shared, once no stored task names them (see THREAD_LIMIT). Where a store keeps
   * checkpoints beside the tasks, they are gone.
   */
  readonly threads: readonly string[];
}

/** So many gates are told of at a time. */
export const GATES_LISTED_MAX = 1_000;

/** How many minutes of throughput a store keeps. */
export const THROUGHPUT_MINUTES_MAX = 60;

/** A history keeps its newest events; older ones are dropped in the atomic step that would exceed this. */
export const HISTORY_EVENTS_MAX = 500;

/** What there is to do and to wait for, told in one step: of a queue at rest one question is enough. */
export interface Outlook {
  /** `expired` would find something. */
  readonly hasExpired: boolean;
  /** `alarmed` would. */
  readonly hasAlarmed: boolean;
  /** `unjudged` would. */
  readonly hasUnjudged: boolean;
  /** Tasks are pending or retrying: some may be claimable. */
  readonly hasPending: boolean;
  /**
   * The earliest time after `now` at which a delayed task falls due, an alarm rings, or a gate that time alone
   * opens may let somebody pass; null without one. It may be too early, where what happens then is nothing.
   */
  readonly nextDueAt: number | null;
}

/**
 * What a backend must do, and all it must do.
 *
 * A store remembers tasks and keeps five promises; it makes no decisions. Retry policy, state machine,
 * priorities and clocks live above it, so that they are the same for every backend.
 *
 * 1. Every method is atomic, also between processes that share the store, and resolves only when what it
 *    wrote is as durable as the backend can make it.
 * 2. Every write to a record raises its `version` by one; `apply` refuses a stale version.
 * 3. A task is claimable when its status is pending or retrying, no edge is undecided, `runAt <= now`, the queue
 *    is not paused, and no gate of its limits, its agent or its type keeps it back (`obstacleAt`). Claims go by
 *    ascending `rank`, then sequence; no task is claimed twice, and each claim raises the fence. In a claim without
 *    ids, the first of a lane that a gate keeps back keeps back its lane, and where tasks with a `fairKey` are
 *    ready as it begins, the backlogs take turns (turns.ts): the first of the one whose turn starts earliest goes, ties by order.
 * 4. When a task ends, its dependents are released or skipped in the same step, and so on downwards.
 * 5. Each transition is appended to the history in the same step: the insert (at createdAt), claims, changes,
 *    skips.
 * 6. A leased task counts in each gate of its limits from its claim until it is leased no more, in the same steps.
 *
 * Time is always an argument: a store never looks at a clock.
 */
export interface TaskStore {
  /**
   * True where records never leave this process: submissions are then stored as objects (`content`), neither
   * turned into text and back nor hashed, which is half the cost of a task in memory. @default false
   */
  readonly isInProcess?: boolean;
  /** How often to look where hints come reliably and looking costs a round trip, ms. @default 1_000 */
  readonly pollMs?: number;
  /** What processes that share this store leave for one another. */
  readonly registry: Registry;
  /**
   * Stores all records, or none: when an id exists (`conflicts`) or a dependency does not (`unknown`).
   * Edges to tasks that have ended are decided at once; such a record may start its life as `skipped`.
   * `rules` of the limits that the records name are set in the same step, where records are stored.
   */
  insert(records: readonly NewRecord[], now: number, rules?: readonly GateChange[]): Promise<InsertOutcome>;
  /** Takes up to `limit` claimable tasks in order: status `to`, fence + 1, lease, and startedAt where started. */
  claim(claim: Claim): Promise<TaskRecord[]>;
  /** Each change for itself: null where the version was stale or the task is gone. */
  apply(changes: readonly Change[], now: number): Promise<(Applied | null)[]>;
  get(ids: readonly string[]): Promise<(TaskRecord | null)[]>;
  list(query: ListQuery): Promise<ListPage>;
  /** The events kept, oldest first; empty for an unknown task. */
  history(id: string): Promise<TaskEvent[]>;
  /** Whether each was added. The oldest pages are dropped in the step that would exceed the bounds of task-log.ts. */
  appendLogs(loggings: readonly Logging[]): Promise<boolean[]>;
  /** The pages with entries above `after`, at most `limit` of them; empty for an unknown task. */
  log(id: string, after: number, limit: number): Promise<TaskLog>;
  /** Leased tasks whose lease ended at or before `now`, oldest lease first. */
  expired(now: number, limit: number): Promise<TaskRecord[]>;
  /** Tasks neither leased nor ended whose `alarmAt` is at or before `now`, earliest first. */
  alarmed(now: number, limit: number): Promise<TaskRecord[]>;
  outlook(now: number): Promise<Outlook>;
  /** The gates under these keys, null for one that nobody named; without keys the first GATES_LISTED_MAX by key. */
  gates(keys: readonly string[] | null): Promise<(Gate | null)[]>;
  /** Sets what is given of each; a key nobody named is known from then on. A paused gate is as `setPaused`. */
  setGates(changes: readonly GateChange[], now: number): Promise<void>;
  unjudged(limit: number): Promise<UnjudgedEdge[]>;
  /** Decides edges that are still unjudged; others are left as they are. */
  judge(verdicts: readonly Verdict[], now: number): Promise<Effects>;
  counts(now: number): Promise<StoreCounts>;
  /** Once this has resolved no claim succeeds in any process until it is set back. */
  setPaused(paused: boolean): Promise<void>;
  isPaused(): Promise<boolean>;
  /**
   * Removes tasks that ended before `endedBefore`, their history, log, edges and checkpoints kept beside them, and the
   * gates that no task names, that nobody paused or closed, and whose window is over.
   */
  purge(endedBefore: number, limit: number): Promise<Purged>;
  /**
   * Calls back, soon and without details, when another user of the same store may have written. `isNew` where it
   * is known that there is a task to take.
   */
  watch(listener: (isNew?: boolean) => void): () => void;
  close(): Promise<void>;
}
