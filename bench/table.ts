import type { Contest } from './contest.ts';
import type { Goal, Row } from './sections.ts';
import { isShort, judge, type Spread, type Verdict } from './verdict.ts';

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

/** The last words of a run: which goals it is short of, a line each, or that it is short of none. */
export function closing(contests: readonly Contest[]): string {
  const goals = contests.flatMap((contest) =>
    contest.section.rows
      .filter(({ goal }) => goal !== undefined)
      .map((row) => ({ section: contest.section.name, verdict: judge(contest, row) })),
  );
  const short = goals.filter(({ verdict }) => isShort(verdict));
  const unknown = goals.filter(({ verdict }) => !isShort(verdict) && verdict.holds === undefined);
  const beside = unknown.length === 0 ? '' : ` (${unknown.length} against peers that did not run)`;
  if (short.length === 0) return `None of ${goals.length} goals is short${beside}.`;
  const lines = new Set(short.map(({ section, verdict }) => ` ${section}: ${shortfall(verdict)}`));
  return [`${lines.size} of ${goals.length} goals are short${beside}:`, ...lines].join('\n');
}

function shortfall(verdict: Verdict): string {
  const [label = '', subject, median, against, , ratio = '', , goal] = cells(verdict);
  const isAgainst = ['times', 'growth'].some((kind) => kind in (verdict.row.goal ?? {}));
  const peer = isAgainst ? `, ${ratio} against ${against}` : '';
  return `${label.trim()}, ${subject}: ${median}${peer}, goal ${goal}`;
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
