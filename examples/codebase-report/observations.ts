import type { Analysis } from './analysis.ts';

const LONG_FUNCTION_LINES = 80;
const LONG_FILE_LINES = 800;

/** What stands out, in sentences made from the figures alone. */
export function observationsOf(analysis: Analysis): string[] {
  return [where, tests, centre, circles, functions, files, comments, marks, copies].flatMap((observe) =>
    observe(analysis),
  );
}

export const count = (value: number): string => value.toLocaleString('en-US');
export const percent = (share: number): string => {
  if (share > 0 && share < 0.01) return 'under 1 %';
  return share > 0.99 && share < 1 ? 'over 99 %' : `${Math.round(share * 100)} %`;
};
const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
export const plural = (value: number, word: string): string =>
  `${count(value)} ${word}${value === 1 ? '' : 's'}`;

function where({ folders, totals, languages }: Analysis): string[] {
  const [largest] = folders;
  if (largest === undefined || totals.code === 0)
    return ['There is no program code here; the figures are about the other files.'];
  const half = halfOf(
    folders.map(({ code }) => code),
    totals.code,
  );
  const language = languages[0];
  const main =
    language !== undefined ? `${capitalised(percent(language.share))} of the code is ${language.name}. ` : '';
  if (folders.length < 4)
    return [`${main}The largest folder is \`${largest.path}\` with ${count(largest.code)} lines.`];
  return [
    `${main}Half of it lies in ${half === 1 ? 'one folder' : `${half} of ${folders.length} folders`}; the largest, \`${largest.path}\`, has ${percent(largest.code / totals.code)}.`,
  ];
}

/** How many of the largest parts make up half of the whole. */
function halfOf(parts: readonly number[], whole: number): number {
  let sum = 0;
  for (const [at, part] of parts.entries()) {
    sum += part;
    if (sum >= whole / 2) return at + 1;
  }
  return parts.length;
}

function tests({ totals }: Analysis): string[] {
  if (totals.code < 200) return [];
  if (totals.testFiles === 0) return ['No tests were found (by the usual names of files and folders).'];
  const ratio = totals.testCode / Math.max(1, totals.code - totals.testCode);
  const amount =
    ratio < 0.05
      ? 'hardly any test code'
      : `${ratio.toFixed(2)} lines of test code for each line of other code`;
  return [`Tests: ${plural(totals.testFiles, 'file')}, ${amount}.`];
}

function centre({ files, folders }: Analysis): string[] {
  const [first] = files;
  const folder = [...folders].sort((a, b) => b.importedBy - a.importedBy)[0];
  if (first === undefined || first.importers < 3) return [];
  const also =
    folder !== undefined && folder.importedBy > 1
      ? `; the folder most others lean on is \`${folder.path}\` (${folder.importedBy} folders)`
      : '';
  return [`The most imported file is \`${first.name}\` (${first.importers} files)${also}.`];
}

function circles({ cycles, edges }: Analysis): string[] {
  const [largest] = cycles;
  if (edges.length < 3) return [];
  if (largest === undefined) return ['No folders import each other in a circle.'];
  const others = cycles.length > 1 ? ` (and ${plural(cycles.length - 1, 'further group')})` : '';
  return [
    `${largest.length} folders import each other in a circle${others}: ${largest
      .slice(0, 4)
      .map((folder) => `\`${folder}\``)
      .join(', ')}${largest.length > 4 ? ', …' : ''}.`,
  ];
}

function functions({ functions: longest }: Analysis): string[] {
  const [first] = longest;
  if (first === undefined) return [];
  const long = longest.filter(({ lines }) => lines > LONG_FUNCTION_LINES).length;
  const many =
    long === longest.length
      ? `${long} or more functions are`
      : long === 1
        ? 'it alone is'
        : `${long} functions are`;
  const tail = long > 0 ? `; ${many} longer than ${LONG_FUNCTION_LINES}` : '';
  return [`The longest function, \`${first.name}\`, has ${plural(first.lines, 'line')}${tail}.`];
}

function files({ largest }: Analysis): string[] {
  const long = largest.filter(
    ({ path, lines }) => lines.code > LONG_FILE_LINES && !path.endsWith('.json') && !path.endsWith('.md'),
  );
  return long.length === 0
    ? []
    : [
        `${long.length === 15 ? '15 or more files have' : long.length === 1 ? 'One file has' : `${long.length} files have`} more than ${LONG_FILE_LINES} lines.`,
      ];
}

function comments({ totals }: Analysis): string[] {
  if (totals.code < 200) return [];
  return [
    `${capitalised(percent(totals.comment / (totals.code + totals.comment)))} of the lines in programs are comments.`,
  ];
}

function marks({ totals, marks: { counts } }: Analysis): string[] {
  if (totals.marks === 0) return totals.code < 200 ? [] : ['Nobody left a TODO or FIXME.'];
  const words = Object.entries(counts).map(([kind, found]) => `${found} ${kind}`);
  return [`Marked for later: ${words.join(', ')}.`];
}

function copies({ twins }: Analysis): string[] {
  return twins.length === 0
    ? []
    : [`${plural(twins.length, 'group')} of files have exactly the same content.`];
}
