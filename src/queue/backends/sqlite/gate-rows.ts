import type { SqliteConnection } from '../../../sqlite/connection.ts';
import { type Gate, type GateRule, opensAt, startsText, toStarts } from '../../gate.ts';
import { GATES_LISTED_MAX } from '../../task-store.ts';

/** So many gates whose time has come are looked at for when they open again. */
const OPENED_MAX = 1_000;

const COLUMNS = 'key, max, rate_max, rate_ms, used, starts, closed_until, paused, tasks, opens_at, idle_at';
export const SELECT_GATE = `SELECT ${COLUMNS} FROM gates WHERE key = ?`;
export const SELECT_GATES_AMONG = `SELECT ${COLUMNS} FROM gates WHERE key IN (SELECT value FROM json_each(?))`;
export const SELECT_GATES = `SELECT ${COLUMNS} FROM gates WHERE key > '' ORDER BY key LIMIT +?`;
export const SELECT_OPENED = `SELECT ${COLUMNS} FROM gates INDEXED BY gates_by_opening
  WHERE opens_at IS NOT NULL AND opens_at <= ? ORDER BY opens_at LIMIT +?`;
export const SELECT_NEXT_OPENING = `SELECT opens_at FROM gates INDEXED BY gates_by_opening
  WHERE opens_at IS NOT NULL AND opens_at > ? ORDER BY opens_at LIMIT 1`;
const UPSERT_GATE = `INSERT OR REPLACE INTO gates (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const UPDATE_GATE = `UPDATE gates SET max = ?, rate_max = ?, rate_ms = ?, used = ?, starts = ?, closed_until = ?, paused = ?,
  tasks = ?, opens_at = ?, idle_at = ? WHERE key = ?`;
/** What most changes come to, a third of the cost: neither index has to be looked at. */
const COUNT_AT_GATE = 'UPDATE gates SET used = ?, tasks = ? WHERE key = ?';
const COUNT_STARTS_AT_GATE = 'UPDATE gates SET used = ?, tasks = ?, starts = ? WHERE key = ?';

/** A gate, and how many tasks not ended name it. */
export interface CountedGate {
  readonly gate: Gate;
  readonly tasks: number;
}

/** As it was read. */
export interface StoredGate extends CountedGate {
  readonly opensAt: unknown;
  readonly idleAt: unknown;
}

export function readGate(connection: SqliteConnection, key: string): StoredGate | undefined {
  const row = connection.prepareRows(SELECT_GATE).get(key) as unknown[] | undefined;
  return row && decode(row);
}

/** Those that there are, in any order. */
export function readGatesAmong(connection: SqliteConnection, keys: readonly string[]): StoredGate[] {
  const rows = connection.prepareRows(SELECT_GATES_AMONG).all(JSON.stringify(keys)) as unknown[][];
  return rows.map(decode);
}

/** In the order asked, or the first by key. */
export function readGates(connection: SqliteConnection, keys: readonly string[] | null): (Gate | null)[] {
  if (keys !== null) return keys.map((key) => readGate(connection, key)?.gate ?? null);
  const rows = connection.prepareRows(SELECT_GATES).all(GATES_LISTED_MAX) as unknown[][];
  return rows.map((row) => decode(row).gate);
}

/** Gates whose stored opening has passed: they may open again later, as the next starts leave their window. */
export function openedGates(connection: SqliteConnection, now: number): CountedGate[] {
  return (connection.prepareRows(SELECT_OPENED).all(now, OPENED_MAX) as unknown[][]).map(decode);
}

/** When the next gate opens that some task may wait for. */
export function nextOpening(connection: SqliteConnection, now: number): number | null {
  const next = connection.prepareValue(SELECT_NEXT_OPENING).get(now);
  const again = openedGates(connection, now).map(({ gate }) => opensAt(gate, now));
  const times = [next, ...again].filter((at) => typeof at === 'number');
  return times.length === 0 ? null : Math.min(...times);
}

/** `before`: as it is stored, if it is. Returns how it is stored from now on. */
export function writeGate(
  connection: SqliteConnection,
  { gate, tasks }: CountedGate,
  before: StoredGate | undefined,
  now: number,
): StoredGate {
  const { key, max, rate, used, starts, closedUntil, isPaused } = gate;
  const opening = tasks > 0 ? opensAt(gate, now) : null;
  const idle = tasks > 0 || isPaused ? null : idleAt(gate);
  const after = { gate, tasks, opensAt: opening, idleAt: idle };
  if (before?.opensAt === opening && before.idleAt === idle && isAlike(before.gate, gate)) {
    if (before.gate.starts === starts) connection.prepare(COUNT_AT_GATE).run(used, tasks, key);
    else connection.prepare(COUNT_STARTS_AT_GATE).run(used, tasks, startsText(starts), key);
    return after;
  }
  const rule = [max, rate?.max ?? null, rate?.perMs ?? null];
  const state = [used, startsText(starts), closedUntil, isPaused ? 1 : 0, tasks, opening, idle];
  if (before) connection.prepare(UPDATE_GATE).run(...rule, ...state, key);
  else connection.prepare(UPSERT_GATE).run(key, ...rule, ...state);
  return after;
}

/** Whether they let the same pass, apart from what they count. */
function isAlike(a: Gate, b: Gate): boolean {
  return hasRule(a, b) && a.closedUntil === b.closedUntil && a.isPaused === b.isPaused;
}

/** Whether the gate has this rule already. */
export function hasRule(gate: Gate, { max, rate }: GateRule): boolean {
  return gate.max === max && gate.rate?.max === rate?.max && gate.rate?.perMs === rate?.perMs;
}

/** When the gate is neither closed nor has a start in its window: from then on it says no more than its rule. */
function idleAt(gate: Gate): number {
  let idle = 0;
  for (let at = opensAt(gate, idle); at !== null; at = opensAt(gate, idle)) idle = at;
  return idle;
}

/** A row as it is, whatever it says: numbers that are none read as 0, a limit that is none as no limit. */
function decode(row: readonly unknown[]): StoredGate {
  const [key, max, rateMax, rateMs, used, starts, closedUntil, paused, tasks, opensAt, idleAt] = row;
  const hasRate = typeof rateMax === 'number' && typeof rateMs === 'number' && rateMs > 0;
  const gate: Gate = {
    key: String(key),
    max: typeof max === 'number' ? max : null,
    rate: hasRate ? { max: rateMax, perMs: rateMs } : null,
    used: number(used),
    starts: typeof starts === 'string' ? toStarts(starts).filter(isSlice) : [],
    closedUntil: number(closedUntil),
    isPaused: paused === 1,
  };
  return { gate, tasks: number(tasks), opensAt, idleAt };
}

function isSlice([from, weight]: Gate['starts'][number]): boolean {
  return Number.isFinite(from) && Number.isFinite(weight);
}

function number(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : 0;
}
