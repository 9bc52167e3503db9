import { type Lane, laneFromKey, laneKey } from '../../claim-filter.ts';
import { weightsText } from '../../quota.ts';
import { TASK_STATUSES, type TaskStatus } from '../../task.ts';
import type { Edge, GateChange, NewRecord, TaskRecord, TaskState } from '../../task-store.ts';
import { gateWords } from './gate-text.ts';

/** As in the lines of the history. */
export const STATUS_LETTERS: Readonly<Record<TaskStatus, string>> = {
  pending: 'p',
  assigned: 'a',
  in_progress: 'i',
  waiting: 'w',
  retrying: 'r',
  completed: 'c',
  failed: 'f',
  cancelled: 'x',
  skipped: 's',
};
const STATUS_OF = new Map<string, TaskStatus>(
  TASK_STATUSES.map((status) => [STATUS_LETTERS[status], status]),
);
const EDGE_LETTERS: Readonly<Record<Edge['on'], string>> = {
  success: 's',
  failure: 'f',
  completion: 'c',
  custom: 'x',
};
const PRIORITY_OF_DAMAGED = 5;
const PLAIN = /^[A-Za-z0-9_.:-]+$/;

/** A task's identity as it is stored; without its sequence where that is not foreseen. */
export function identityText(record: NewRecord, seq?: number): string {
  const { rank, createdAt, runAt, hash, submission } = record;
  const due = runAt === createdAt ? '=' : runAt;
  const weights = record.quota === undefined ? '' : weightsText(record.quota);
  const lane = weights === '' ? laneKey(record) : `${laneKey(record)} ${weights}`;
  const own = `${rank} ${createdAt} ${due} ${lane}\n${hash}\n${submission}`;
  return seq === undefined ? own : `${seq} ${own}`;
}

/**
 * When the task is due, its alarm, what it waits for, and the rules that come with its batch; empty for a task that
 * is ready at once.
 */
export function specialText(
  { runAt, alarmAt, dependsOn, join }: NewRecord,
  now: number,
  rules: readonly GateChange[] = [],
): string {
  if (runAt <= now && alarmAt === null && dependsOn.length === 0 && rules.length === 0) return '';
  const lines = rules.length === 0 ? '' : ruleLines(rules);
  return `${runAt} ${alarmAt ?? ''}\n${edgeLines(dependsOn, join)}${lines}`;
}

/** A line for all keys of which the same is said. */
function ruleLines(rules: readonly GateChange[]): string {
  const keysOf = new Map<string, string>();
  for (const rule of rules) {
    const [key, ...words] = gateWords(rule);
    const said = words.join(' ');
    const others = keysOf.get(said);
    keysOf.set(said, others === undefined ? key! : `${others},${key}`);
  }
  return [...keysOf].map(([said, keys]) => `g ${keys} ${said}\n`).join('');
}

/** A line for each, with a plus where the first that holds is enough. */
export function edgeLines(edges: readonly Edge[], join: NewRecord['join'] = 'all'): string {
  const plus = join === 'any' ? '+' : '';
  return edges
    .map(
      ({ dependencyId, on, condition }) => `${plus}${EDGE_LETTERS[on]} ${dependencyId} ${condition ?? ''}\n`,
    )
    .join('');
}

export function ownerField(owner: string | null): string {
  if (owner === null) return '-';
  return PLAIN.test(owner) ? `=${owner}` : `%${encodeURIComponent(owner.toWellFormed())}`;
}

function ownerOf(field: string | undefined): string | null {
  if (field?.startsWith('=')) return field.slice(1);
  if (!field?.startsWith('%')) return null;
  try {
    return decodeURIComponent(field.slice(1));
  } catch {
    return field.slice(1);
  }
}

/** The part of a state that the scripts pass through: see `tasks.lua`. */
export function restOf(next: TaskState): string {
  const { fence, startedAt, completedAt, owner, result, details, retryCount, crashes } = next;
  const sizes = `${bytesOf(result)} ${bytesOf(details)} ${retryCount} ${crashes} ${result?.length ?? 0} ${details?.length ?? 0}`;
  const head = `${fence} ${startedAt ?? '-'} ${completedAt ?? '-'} ${ownerField(owner)} ${sizes}\n`;
  return result === null && details === null ? head : head + (result ?? '') + (details ?? '');
}

function bytesOf(text: string | null): number | '-' {
  return text === null ? '-' : Buffer.byteLength(text);
}

/** A record from its two texts; damage reads as nothing, as 0, or as `failed`, and never throws. */
export function toRecord(
  id: string,
  text: string,
  state: string,
  blockers: string,
  seq?: number,
): TaskRecord {
  if (state === '') return firstRecord(id, text, NEVER_RAN, seq);
  const record = firstRecord(id, text, NEVER_RAN, seq);
  return { ...record, ...toState(state, record.runAt), blockedBy: blockersOf(blockers) };
}

/** What a task's first claim makes of it, or how it was before that. */
export interface FirstState {
  readonly status: TaskStatus;
  readonly fence: number;
  readonly owner: string | null;
  readonly leaseExpiresAt: number | null;
  readonly startedAt: number | null;
  /** Version and count of events. */
  readonly version: number;
}

const NEVER_RAN: FirstState = {
  status: 'pending',
  fence: 0,
  owner: null,
  leaseExpiresAt: null,
  startedAt: null,
  version: 1,
};

/** A task without a state of its own. One literal: this is on the path of every claim. */
export function firstRecord(id: string, text: string, first: FirstState, known?: number): TaskRecord {
  const headEnd = text.indexOf('\n');
  const hashEnd = text.indexOf('\n', headEnd + 1);
  const end = Math.max(0, headEnd);
  const rankAt = after(text, 0, end);
  const createdAtAt = after(text, rankAt, end);
  const runAtAt = after(text, createdAtAt, end);
  const laneAt = after(text, runAtAt, end);
  const weightsAt = after(text, laneAt, end);
  const createdAt = text.slice(createdAtAt, runAtAt - 1);
  const runAt = text.slice(runAtAt, laneAt - 1);
  const lane = text.slice(laneAt, weightsAt - 1);
  const weights = text.slice(weightsAt, end);
  const { priority, agentType, agent, quota } = laneOf(lane);
  const created = toNumber(createdAt);
  const record: TaskRecord & { quota?: TaskRecord['quota'] } = {
    seq: known ?? toNumber(text.slice(0, rankAt - 1)),
    id,
    submission: hashEnd < 0 ? text : text.slice(hashEnd + 1),
    hash: hashEnd < 0 ? '' : text.slice(headEnd + 1, hashEnd),
    priority,
    agentType,
    agent,
    rank: toNumber(text.slice(rankAt, createdAtAt - 1)),
    createdAt: created,
    status: first.status,
    runAt: runAt === '=' ? created : toNumber(runAt),
    retryCount: 0,
    crashes: 0,
    fence: first.fence,
    owner: first.owner,
    leaseExpiresAt: first.leaseExpiresAt,
    alarmAt: null,
    startedAt: first.startedAt,
    completedAt: null,
    result: null,
    details: null,
    version: first.version,
    events: first.version,
    blockedBy: [],
  };
  // A spread of this size costs more than all of the above.
  if (quota !== undefined) record.quota = weights === '' ? quota : laneFromKey(lane, weights).quota;
  return record;
}

/** Where the word after the one at `from` begins; one beyond the end where there is none. */
function after(text: string, from: number, end: number): number {
  const at = text.indexOf(' ', from);
  return (at < 0 || at >= end ? end : at) + 1;
}

const LANES_MAX = 1_000;
const lanes = new Map<string, Lane>();

/** Lanes are few and looked at often. */
function laneOf(key: string): Lane {
  const known = lanes.get(key);
  if (known) return known;
  const lane = laneFromKey(key);
  const { priority } = lane;
  const read = {
    ...lane,
    priority: Number.isInteger(priority) && priority > 0 ? priority : PRIORITY_OF_DAMAGED,
  };
  if (lanes.size >= LANES_MAX) lanes.clear();
  lanes.set(key, read);
  return read;
}

type StoredState = TaskState & Pick<TaskRecord, 'version' | 'events'>;

const UNREADABLE: StoredState = {
  status: 'failed',
  runAt: 0,
  retryCount: 0,
  crashes: 0,
  fence: 0,
  owner: null,
  leaseExpiresAt: null,
  alarmAt: null,
  startedAt: null,
  completedAt: null,
  result: null,
  details:
    '{"error":{"name":"StoreCorruptError","message":"the stored state cannot be read","code":"STORE_CORRUPT"}}',
  version: 0,
  events: 0,
};

/** The pattern by which the scripts read a state. */
const STATE = /^\d+ \d+ [a-z] \S+ \d+ \d+ [01]\S* \S+ \d+ \S+ \S+ \S+ \S+ \S+ [^\n]*\n/;

function toState(text: string, submittedRunAt: number): StoredState {
  if (!STATE.test(text)) return UNREADABLE;
  const headEnd = text.indexOf('\n');
  const f = text.slice(0, headEnd).split(' ');
  const resultEnd = headEnd + 1 + toNumber(f[16]);
  return {
    status: STATUS_OF.get(f[2]!) ?? 'failed',
    runAt: f[3] === '=' ? submittedRunAt : toNumber(f[3]),
    retryCount: toNumber(f[14]),
    crashes: toNumber(f[15]),
    fence: toNumber(f[8]),
    owner: ownerOf(f[11]),
    leaseExpiresAt: toTime(f[7]),
    alarmAt: f[7]!.startsWith('!') ? toTime(f[7]!.slice(1)) : null,
    startedAt: toTime(f[9]),
    completedAt: toTime(f[10]),
    result: f[12] === '-' ? null : text.slice(headEnd + 1, resultEnd),
    details: f[13] === '-' ? null : text.slice(resultEnd, resultEnd + toNumber(f[17])),
    version: toNumber(f[0]),
    events: toNumber(f[1]),
  };
}

/** The lines of the history at the end of a state. */
export function historyOf(state: string): string {
  if (!STATE.test(state)) return '';
  const headEnd = state.indexOf('\n');
  const f = state.slice(0, headEnd).split(' ');
  return state.slice(headEnd + 1 + toNumber(f[16]) + toNumber(f[17]));
}

/** Pairs of position and dependency, in the order submitted. */
export function blockersOf(text: string): readonly string[] {
  if (text === '') return [];
  const words = text.split(' ');
  const edges: { position: number; id: string }[] = [];
  for (let i = 0; i < words.length; i += 2)
    edges.push({ position: toNumber(words[i]), id: words[i + 1] ?? '' });
  return edges.sort((a, b) => a.position - b.position).map((edge) => edge.id);
}

function toNumber(text: string | undefined): number {
  const value = Number(text);
  return Number.isFinite(value) ? value : 0;
}

function toTime(text: string | undefined): number | null {
  const value = text === '-' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}
