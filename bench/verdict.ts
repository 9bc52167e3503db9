import type { Contest } from './contest.ts';
import { median } from './figures.ts';
import type { Goal, Row } from './sections.ts';

/** A figure over all rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: readonly number[];
}

/** A line of the table, worked out. */
export interface Verdict {
  readonly row: Row;
  readonly subject?: Spread;
  readonly against?: Spread;
  /** How many times as good the subject is, by the medians; with a growth goal, how many times as large. */
  readonly ratio?: number;
  /** The median of the ratios of the single rounds. */
  readonly pairedRatio?: number;
  /** Absent without a goal or without figures. */
  readonly holds?: boolean;
}

export function judge(contest: Contest, row: Row): Verdict {
  const subject = spread(contest, row.subject);
  const against = row.against === undefined ? undefined : spread(contest, row.against);
  const verdict = { row, ...(subject && { subject }), ...(against && { against }) };
  if (subject === undefined) return verdict;
  if (against === undefined) return { ...verdict, ...holds(row.goal, subject.median) };
  const compare = comparison(row);
  const ratio = compare(subject.median, against.median);
  const pairs = Math.min(subject.rounds.length, against.rounds.length);
  const paired = Array.from({ length: pairs }, (_, i) =>
    compare(subject.rounds[i] ?? 0, against.rounds[i] ?? 0),
  );
  return { ...verdict, ratio, pairedRatio: median(paired), ...holds(row.goal, subject.median, ratio) };
}

/** A goal against a peer that does not run here is no miss; one without Jotty's own figure is. */
export function isShort({ row, subject, holds }: Verdict): boolean {
  return row.goal !== undefined && (subject === undefined || holds === false);
}

function comparison({ unit, goal }: Row): (subject: number, against: number) => number {
  const larger = unit === '/s' || (goal !== undefined && 'growth' in goal);
  return (subject, against) => (larger ? subject / against : against / subject);
}

function holds(goal: Goal | undefined, value: number, ratio = Number.NaN): { holds?: boolean } {
  if (goal === undefined) return {};
  if ('times' in goal) return Number.isNaN(ratio) ? {} : { holds: ratio >= goal.times };
  if ('growth' in goal) return Number.isNaN(ratio) ? {} : { holds: ratio <= goal.growth };
  return { holds: 'below' in goal ? value < goal.below : value >= goal.atLeast };
}

function spread(contest: Contest, name: string): Spread | undefined {
  const [key = '', figure = ''] = name.split('.');
  const rounds = (contest.rounds[key] ?? [])
    .map((figures) => figures[figure])
    .filter((value) => value !== undefined);
  if (rounds.length === 0) return undefined;
  return { median: median(rounds), min: Math.min(...rounds), max: Math.max(...rounds), rounds };
}
