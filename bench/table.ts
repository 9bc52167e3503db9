import type { Contest } from './contest.ts';
import type { Goal, Row } from './sections.ts';
import { judge, type Spread, type Verdict } from './verdict.ts';

const HEADINGS = [
  '',
  'figure',
  'median (range)',
  'against',
  'median (range)',
  'ratio',
  'paired',
  'goal',
  'holds',
];

/** All sections as one table of fixed width; ratios above 1 are in favour of the first figure, except for growth. */
export function table(contests: readonly Contest[]): string {
  const sections = contests.map((contest) => ({
    contest,
    rows: contest.section.rows.map((row) => cells(judge(contest, row))),
  }));
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...sections.flatMap(({ rows }) => rows.map((row) => row[column]?.length ?? 0))),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  const parts = sections.map(({ contest, rows }) =>
    [contest.section.title, ...rows.map(line), ...failures(contest)].join('\n'),
  );
  return [line(HEADINGS), ...parts].join('\n\n');
}

function cells({ row, subject, against, ratio, pairedRatio, holds }: Verdict): string[] {
  return [
    ` ${row.label}`,
    entrantOf(row.subject),
    range(subject, row.unit),
    row.against === undefined ? '' : entrantOf(row.against),
    row.against === undefined ? '' : range(against, row.unit),
    ratio === undefined ? '' : `${short(ratio)}×`,
    pairedRatio === undefined ? '' : `${short(pairedRatio)}×`,
    row.goal === undefined ? '' : goalText(row.goal, row.unit),
    holds === undefined ? '' : holds ? 'yes' : 'NO',
  ];
}

function failures({ failures }: Contest): string[] {
  return Object.entries(failures).map(([key, reason]) => ` ${key} did not run: ${reason}`);
}

/** `sqlite.deep-claimMs` is called `sqlite deep`, since both depths are in one table. */
function entrantOf(name: string): string {
  const [key = '', figure = ''] = name.split('.');
  const depth = /^(deep|shallow)-/.exec(figure)?.[1];
  return depth === undefined ? key : `${key} ${depth}`;
}

function range(spread: Spread | undefined, unit: Row['unit']): string {
  if (spread === undefined) return '–';
  return `${short(spread.median)} ${unit} (${short(spread.min)}–${short(spread.max)})`;
}

function goalText(goal: Goal, unit: Row['unit']): string {
  if ('times' in goal) return `≥ ${short(goal.times)}×`;
  if ('growth' in goal) return `≤ ${short(goal.growth)}×`;
  return 'below' in goal ? `< ${short(goal.below)} ${unit}` : `≥ ${short(goal.atLeast)} ${unit}`;
}

/** Three digits that mean something, thousands apart. */
function short(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}
