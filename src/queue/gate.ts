import type { Kind } from './claim-filter.ts';

/** So many starts, by weight, in any `perMs`. */
export interface Rate {
  readonly max: number;
  readonly perMs: number;
}

/** What a key lets through; null: any number. */
export interface GateRule {
  /** Leased tasks at a time. */
  readonly max: number | null;
  readonly rate: Rate | null;
}

/** The starts of a slice of time: from when (ms since the epoch), and what they weigh together. */
export type Slice = readonly [from: number, weight: number];

/** A key that tasks pass when they are claimed, as it stands. */
export interface Gate extends GateRule {
  readonly key: string;
  /** Leased tasks that passed it, and those that nodes hold ahead in its places. */
  readonly used: number;
  /** The starts of the last window, oldest first; older ones may be among them. */
  readonly starts: readonly Slice[];
  /** Nothing passes before, e.g. since a provider said so; 0: open. */
  readonly closedUntil: number;
  readonly isPaused: boolean;
}

/** Why something cannot pass. `until`: when it may, as it looks now; null: when others leave, or somebody resumes it. */
export interface Obstacle {
  readonly key: string;
  readonly reason: 'paused' | 'closed' | 'full' | 'rate';
  readonly until: number | null;
}

/** A window is kept in so many slices: one counts until its last moment has left the window, so none has too many. */
const SLICES = 20;

export const OPEN: GateRule = { max: null, rate: null };

export function newGate(key: string, rule: GateRule): Gate {
  return { key, ...rule, used: 0, starts: [], closedUntil: 0, isPaused: false };
}

/** Pauses of an agent or a type are gates of their own, under keys that no submitter can give. */
export function kindGates({ agentType, agent }: Kind): string[] {
  return [
    ...(agentType === null ? [] : [`@type:${agentType}`]),
    ...(agent === null ? [] : [`@agent:${agent}`]),
  ];
}

/** What keeps a start of this weight from passing now; null: nothing. */
export function obstacleAt(gate: Gate, weight: number, now: number): Obstacle | null {
  const { key, max, used, rate, closedUntil, isPaused } = gate;
  if (isPaused) return { key, reason: 'paused', until: null };
  if (closedUntil > now) return { key, reason: 'closed', until: closedUntil };
  if (max !== null && used >= max) return { key, reason: 'full', until: null };
  const until = rate === null ? null : fitsAt(gate, rate, weight, now);
  return until === null || until <= now ? null : { key, reason: 'rate', until };
}

/** When a start of this weight fits under the rate. One heavier than the whole window fits into an empty one. */
function fitsAt({ starts }: Gate, rate: Rate, weight: number, now: number): number {
  const inWindow = within(starts, rate, now);
  let sum = weight;
  for (const slice of inWindow) sum += slice[1];
  let at = now;
  for (let i = 0; i < inWindow.length && sum > rate.max; i++) {
    const [from, counted] = inWindow[i]!;
    sum -= counted;
    at = leavesAt(from, rate);
  }
  return at;
}

function sliceMs({ perMs }: Rate): number {
  return Math.ceil(perMs / SLICES);
}

/** When the whole slice is out of the window. */
function leavesAt(from: number, rate: Rate): number {
  return from + sliceMs(rate) + rate.perMs;
}

function within(starts: readonly Slice[], rate: Rate, now: number): readonly Slice[] {
  const oldest = starts[0];
  if (oldest === undefined || leavesAt(oldest[0], rate) > now) return starts;
  return starts.filter(([from]) => leavesAt(from, rate) > now);
}

/** The gate after a start of this weight. */
export function entered(gate: Gate, weight: number, now: number): Gate {
  const { rate } = gate;
  const used = gate.used + 1;
  if (rate === null) return { ...gate, used };
  // Whoever had to wait for its turn to write starts after those who were before it, whatever it takes the time for.
  const at = Math.max(now, gate.starts.at(-1)?.[0] ?? 0);
  return { ...gate, used, starts: counted(within(gate.starts, rate, at), sliceOf(at, rate), weight) };
}

export function left(gate: Gate): Gate {
  return { ...gate, used: Math.max(0, gate.used - 1) };
}

/** Puts right what a start weighed, once that is known: `by` more or less than was reserved at `startedAt`. */
export function corrected(gate: Gate, startedAt: number, by: number): Gate {
  const { rate } = gate;
  if (rate === null || by === 0) return gate;
  return { ...gate, starts: counted(gate.starts, sliceOf(startedAt, rate), by) };
}

function sliceOf(at: number, rate: Rate): number {
  return at - (at % sliceMs(rate));
}

function counted(starts: readonly Slice[], slice: number, weight: number): Slice[] {
  // Most often it is the last one.
  let place = starts.length;
  while (place > 0 && starts[place - 1]![0] >= slice) place--;
  const known = starts[place];
  const counts = known?.[0] === slice ? known[1] : 0;
  const after = starts.slice();
  after.splice(place, known?.[0] === slice ? 1 : 0, [slice, Math.max(0, counts + weight)]);
  return after;
}

/** When somebody that a gate keeps back now might pass it by time alone; null where only others can free it. */
export function opensAt(gate: Gate, now: number): number | null {
  if (gate.closedUntil > now) return gate.closedUntil;
  const oldest = gate.rate && within(gate.starts, gate.rate, now)[0];
  return oldest && gate.rate ? leavesAt(oldest[0], gate.rate) : null;
}

/** The slices as text, for stores: `from:weight from:weight`. */
export function startsText(starts: readonly Slice[]): string {
  return starts.map(([from, weight]) => `${from}:${weight}`).join(' ');
}

export function toStarts(text: string): Slice[] {
  if (text === '') return [];
  return text.split(' ').map((slice) => {
    const [from = 0, weight = 0] = slice.split(':').map(Number);
    return [from, weight] as const;
  });
}
