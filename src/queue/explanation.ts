import { APPROVAL_TYPE, openQuestion } from './approval.ts';
import { rungClock } from './clocks.ts';
import { readDetails } from './details.ts';
import { type Gate, kindGates, type Obstacle, obstacleAt } from './gate.ts';
import { heavierBefore } from './lane-order.ts';
import { type AgentScore, isEnded, isLeased, type TaskStatus } from './task.ts';
import type { StoreCounts, TaskRecord, TaskStore } from './task-store.ts';
import { readSubmission } from './task-view.ts';
import { liveWorkers, unservedKinds } from './workers.ts';

/** One thing that keeps a task from being claimed. */
export interface Blocker {
  /**
   * `ENDED`, `RUNNING` · `WAITS_FOR_PERSON` · `DEPENDENCY` and `CONDITION` (it has ended, its condition is not judged
   * yet) · `RUN_AT` · `QUEUE_PAUSED`, `AGENT_PAUSED`, `TYPE_PAUSED`, `KEY_PAUSED` · `KEY_FULL`, `KEY_RATE`, `KEY_CLOSED`
   * · `OVERDUE` (it has waited too long, or its deadline has passed: it ends as soon as somebody looks)
   * · `GRAPH_CHANGED` (with `until`: it was begun by another version of its graph, and is offered again then)
   * · `NO_AGENT` (there are workers, and none of them has an agent for it)
   */
  readonly code:
    | 'ENDED'
    | 'RUNNING'
    | 'WAITS_FOR_PERSON'
    | 'DEPENDENCY'
    | 'CONDITION'
    | 'RUN_AT'
    | 'OVERDUE'
    | 'QUEUE_PAUSED'
    | 'AGENT_PAUSED'
    | 'TYPE_PAUSED'
    | 'KEY_PAUSED'
    | 'KEY_FULL'
    | 'KEY_RATE'
    | 'KEY_CLOSED'
    | 'GRAPH_CHANGED'
    | 'NO_AGENT';
  /** What it is, and what would free the task. */
  readonly message: string;
  /** When time frees the task of it, ms since the epoch; absent where somebody else must. */
  readonly until?: number;
  /** The key, agent or agent type it comes from. */
  readonly key?: string;
  /** The task it waits for, or behind: one that goes first and weighs too much for a rate. */
  readonly taskId?: string;
}

export interface Explanation {
  readonly taskId: string;
  readonly status: TaskStatus;
  /** Empty exactly where the task can be claimed now. */
  readonly blockers: readonly Blocker[];
  /** Of a running task: the table by which it was assigned, best first. */
  readonly scores?: readonly AgentScore[];
  readonly assignedAgent?: string;
  /**
   * About when it starts, ms since the epoch: after what time alone frees, and after all that is ready now, at the
   * pace of the last hour. Absent where somebody must act first, or nothing ended in that hour.
   */
  readonly expectedStartAt?: number;
}

const KEY_CODES = { paused: 'KEY_PAUSED', closed: 'KEY_CLOSED', full: 'KEY_FULL', rate: 'KEY_RATE' } as const;

/** Why a task does not run now. Reads the store a few times; nothing is written. */
export async function explain(store: TaskStore, record: TaskRecord, now: number): Promise<Explanation> {
  const { id, status } = record;
  const { scores, assignedAgent } = readDetails(record.details);
  const blockers = await blockersOf(store, record, now);
  const expectedStartAt = isWaiting(status) ? await expectedStart(store, blockers, now) : undefined;
  return {
    taskId: id,
    status,
    blockers,
    ...(isLeased(status) && scores && { scores }),
    ...(assignedAgent !== undefined && { assignedAgent }),
    ...(expectedStartAt !== undefined && { expectedStartAt }),
  };
}

function isWaiting(status: TaskStatus): boolean {
  return status === 'pending' || status === 'retrying';
}

async function blockersOf(store: TaskStore, record: TaskRecord, now: number): Promise<Blocker[]> {
  const { status, owner, runAt } = record;
  if (isEnded(status)) return [{ code: 'ENDED', message: `it is ${status}` }];
  if (isLeased(status)) return [{ code: 'RUNNING', message: `${owner ?? 'a worker'} holds it` }];
  if (status === 'waiting') return [askedBlocker(record, now)];
  const [dependencies, paused, gates, agents] = await Promise.all([
    dependencyBlockers(store, record),
    store.isPaused(),
    gateBlockers(store, record, now),
    agentBlockers(store, record, now),
  ]);
  const late = runAt > now && record.blockedBy.length === 0;
  return [
    ...dependencies,
    ...(late ? [lateBlocker(record)] : []),
    ...overdueBlockers(record, now),
    ...(paused ? [{ code: 'QUEUE_PAUSED' as const, message: 'the queue is paused; call resume()' }] : []),
    ...gates,
    ...agents,
  ];
}

function askedBlocker(record: TaskRecord, now: number): Blocker {
  const { interrupts = [], askedAt } = readDetails(record.details);
  const age = durationOf(now - (askedAt ?? record.startedAt ?? record.createdAt));
  if (record.agentType === APPROVAL_TYPE) {
    const { timeoutAt, onTimeout } = openQuestion(record) ?? {};
    const message = `it asks for approval, ${age} old; approve or reject it`;
    if (timeoutAt === undefined) return { code: 'WAITS_FOR_PERSON', message };
    const decided = `, or the time does: ${onTimeout} at ${timeOf(timeoutAt)}`;
    return { code: 'WAITS_FOR_PERSON', message: message + decided, until: timeoutAt };
  }
  const questions = interrupts.length === 1 ? 'a question is' : `${interrupts.length} questions are`;
  return { code: 'WAITS_FOR_PERSON', message: `${questions} open, ${age} old; answer it` };
}

function lateBlocker({ runAt, details }: TaskRecord): Blocker {
  const { error } = readDetails(details);
  const message = `it starts not before ${timeOf(runAt)}`;
  if (error?.code !== 'GRAPH_CHANGED') return { code: 'RUN_AT', message, until: runAt };
  return { code: 'GRAPH_CHANGED', message: `${error.message}; ${message}`, until: runAt };
}

/** A claim would end it. */
function overdueBlockers(record: TaskRecord, now: number): Blocker[] {
  if (record.alarmAt === null || record.alarmAt > now) return [];
  const clock = rungClock(record, readSubmission(record), now);
  if (clock === null) return [];
  const why = clock.kind === 'deadline' ? 'its deadline has passed' : 'it has waited too long for its start';
  return [{ code: 'OVERDUE', message: `${why}, at ${timeOf(clock.at)}; it ends as soon as it is looked at` }];
}

async function dependencyBlockers(store: TaskStore, { blockedBy }: TaskRecord): Promise<Blocker[]> {
  const records = await store.get(blockedBy);
  return blockedBy.map((taskId, i) => {
    const status = records[i]?.status;
    return status !== undefined && isEnded(status)
      ? {
          code: 'CONDITION',
          message: `the condition on ${taskId}, which is ${status}, is to be judged`,
          taskId,
        }
      : { code: 'DEPENDENCY', message: `it waits for ${taskId}, which is ${status ?? 'gone'}`, taskId };
  });
}

async function gateBlockers(store: TaskStore, record: TaskRecord, now: number): Promise<Blocker[]> {
  const limits = record.quota?.limits ?? [];
  const kinds = kindGates(record);
  const gates = await store.gates([...kinds, ...limits.map(({ key }) => key)]);
  const blockers = gates.flatMap((gate, i) => {
    const weight = limits[i - kinds.length]?.weight ?? 0;
    const obstacle = gate && obstacleAt(gate, weight, now);
    return obstacle ? [toBlocker(obstacle, gate.used, gate.max)] : [];
  });
  return blockers.length > 0 ? blockers : behindBlockers(store, record, gates.slice(kinds.length), now);
}

async function behindBlockers(
  store: TaskStore,
  record: TaskRecord,
  gates: readonly (Gate | null)[],
  now: number,
): Promise<Blocker[]> {
  const first = await heavierBefore(store, record, gates, now);
  if (first === null) return [];
  const { id: taskId, key, until } = first;
  const message = `${taskId} goes first, and weighs too much for what the rate of ${key} lets pass until ${timeOf(until ?? 0)}`;
  return [{ code: 'KEY_RATE', message, key, taskId, ...(until !== null && { until }) }];
}

function toBlocker({ key, reason, until }: Obstacle, used: number, max: number | null): Blocker {
  const [, kind, name] = /^@(type|agent):(.*)$/.exec(key) ?? [];
  if (name !== undefined) {
    const code = kind === 'type' ? 'TYPE_PAUSED' : 'AGENT_PAUSED';
    return { code, message: `${kind} ${name} is paused; call resume() for it`, key: name };
  }
  const messages = {
    paused: `${key} is paused; call resume({ key: '${key}' })`,
    closed: `${key} is closed until ${timeOf(until ?? 0)}: there were too many calls`,
    full: `${key} is at ${used}/${max}; it goes on when one of those ends, or with a higher limit`,
    rate: `the rate of ${key} is spent until ${timeOf(until ?? 0)}`,
  };
  return { code: KEY_CODES[reason], message: messages[reason], key, ...(until !== null && { until }) };
}

async function agentBlockers(store: TaskStore, record: TaskRecord, now: number): Promise<Blocker[]> {
  // Nobody runs an approval.
  if (record.agentType === APPROVAL_TYPE) return [];
  const workers = await liveWorkers(store.registry, now);
  if (workers.length === 0 || unservedKinds([record], workers).length === 0) return [];
  const wanted = record.agent ?? record.agentType ?? 'any type';
  return [
    { code: 'NO_AGENT', message: `no live agent takes ${wanted}; start a worker with one`, key: wanted },
  ];
}

async function expectedStart(
  store: TaskStore,
  blockers: readonly Blocker[],
  now: number,
): Promise<number | undefined> {
  if (blockers.some(({ until }) => until === undefined)) return undefined;
  const perMs = paceOf(await store.counts(now));
  if (perMs.pace === 0) return undefined;
  const free = Math.max(now, ...blockers.map(({ until }) => until ?? now));
  return Math.ceil(free + perMs.ready / perMs.pace);
}

/** Tasks that are ready, and how many ended in each ms of the minutes in which some did. */
function paceOf({ byStatus, delayed, blocked, endedPerMinute }: StoreCounts): {
  ready: number;
  pace: number;
} {
  const ready = byStatus.pending + byStatus.retrying - delayed - blocked;
  const minutes = new Set(endedPerMinute.map(({ minute }) => minute)).size;
  const ended = endedPerMinute.reduce((sum, { count }) => sum + count, 0);
  return { ready, pace: minutes === 0 ? 0 : ended / (minutes * 60_000) };
}

function timeOf(at: number): string {
  return new Date(at).toISOString();
}

function durationOf(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
