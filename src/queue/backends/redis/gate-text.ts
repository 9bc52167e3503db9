import { type Gate, newGate, OPEN, type Rate, toStarts } from '../../gate.ts';
import type { GateChange } from '../../task-store.ts';

const ABSENT = '_';

/** A change as the scripts take it: key, max, rate, paused, the end of a closing. */
export function gateWords({ key, rule, isPaused, closedUntil }: GateChange): string[] {
  const max = rule === undefined ? ABSENT : String(rule.max ?? '-');
  const rate = rule === undefined ? ABSENT : rule.rate === null ? '-' : `${rule.rate.max}/${rule.rate.perMs}`;
  const paused = isPaused === undefined ? ABSENT : isPaused ? '1' : '0';
  return [key, max, rate, paused, closedUntil === undefined ? ABSENT : String(closedUntil)];
}

/** The pattern by which the scripts read a gate, see `gates.lua`. */
const GATE = /^(\S+) (\d+) (\d+) ([01]) (\S+) \d+ ?(.*)$/;

/** A gate that cannot be read is an open one. */
export function toGate(key: string, text: string): Gate {
  const [, max, used, closedUntil, paused, rate, starts] = GATE.exec(text) ?? [];
  if (max === undefined) return newGate(key, OPEN);
  return {
    key,
    max: max === '-' ? null : Number(max),
    rate: toRate(rate ?? '-'),
    used: Number(used),
    starts: toStarts(starts ?? ''),
    closedUntil: Number(closedUntil),
    isPaused: paused === '1',
  };
}

function toRate(text: string): Rate | null {
  const [max, perMs] = text.split('/').map(Number);
  return max === undefined || perMs === undefined ? null : { max, perMs };
}
