import type { Analysis, Gathered } from './analysis.ts';
import { connections } from './connections.ts';
import { bar, cell, kilobytes, prose, table } from './markdown.ts';
import type { Narration } from './narration.ts';
import { count, observationsOf, percent, plural } from './observations.ts';

/** How the run went, as far as the queue knows it when the report is written. */
export interface RunRecord {
  readonly id: string;
  /** ms since the epoch */
  readonly startedAt: number;
  readonly folders: number;
  /** Starts beyond the first of each task: after a crash or a failure. */
  readonly extraStarts: number;
  readonly crashes: number;
}

const FOLDER_ROWS_MAX = 40;

/** The report as Markdown. Pure: it depends on its arguments alone. */
export function compose(
  gathered: Gathered,
  analysis: Analysis,
  narration: Narration,
  run: RunRecord,
): string {
  const sections = [
    opening(gathered, analysis),
    inWords(analysis, narration),
    languages(analysis),
    folders(analysis),
    connections(analysis),
    longest(analysis),
    markedForLater(analysis),
    worthALook(analysis),
    missing(gathered, analysis),
    provenance(gathered, narration, run),
  ];
  return `${sections.flat().join('\n\n')}\n`;
}

function opening({ survey }: Gathered, { totals }: Analysis): string[] {
  const { identity } = survey;
  const facts = [
    [
      'Files',
      `${count(totals.files)} text files (${kilobytes(survey.bytes)}) in ${plural(survey.folders.length, 'folder')}${survey.binaries.count > 0 ? `, ${plural(survey.binaries.count, 'binary file')} (${kilobytes(survey.binaries.bytes)})` : ''}`,
    ],
    [
      'Program code',
      `${count(totals.code)} lines, ${count(totals.comment)} lines of comments, ${plural(totals.functions, 'named function')}`,
    ],
    [
      'Tests',
      totals.testFiles === 0
        ? 'none found'
        : `${plural(totals.testFiles, 'file')}, ${count(totals.testCode)} lines`,
    ],
    ['Packages imported', count(totals.packages)],
    ...(identity.manifest === null
      ? []
      : [
          [
            'Manifest',
            `${identity.manifest}, ${plural(identity.dependencies, 'dependency').replace(/ys$/, 'ies')} declared`,
          ],
        ]),
    ...(identity.license === null ? [] : [['License', cell(identity.license)]]),
  ];
  return [
    `# ${identity.name}: codebase report`,
    ...(identity.description === '' ? [] : [`> ${identity.description.replace(/\s+/g, ' ')}`]),
    table(['', ''], facts),
  ];
}

function inWords(analysis: Analysis, narration: Narration): string[] {
  const observed = observationsOf(analysis)
    .map((sentence) => `- ${sentence}`)
    .join('\n');
  const summary =
    narration.text === null
      ? []
      : ['## Summary', narration.text, `*Written by the model ${narration.model} from the figures below.*`];
  return [...summary, '## What stands out', observed];
}

function languages({ languages: all }: Analysis): string[] {
  const rows = all.map(({ name, kind, files, code, comment, share }) => [
    name,
    kind === 'code' ? `${bar(share)} ${percent(share)}` : kind,
    count(files),
    count(code),
    count(comment),
  ]);
  return [
    '## Languages',
    table(['Language', 'Share of the code', '>Files', '>Lines', '>Comments'], rows.slice(0, 25)),
  ];
}

function folders({ folders: all, totals }: Analysis): string[] {
  const rows = all
    .slice(0, FOLDER_ROWS_MAX)
    .map((folder) => [
      `\`${folder.path}\`${folder.test ? ' (tests)' : ''}`,
      folder.language,
      count(folder.files),
      count(folder.code),
      percent(totals.code === 0 ? 0 : folder.code / totals.code),
      folder.longest === null ? '' : `\`${cell(folder.longest.name)}\` (${folder.longest.lines})`,
      String(folder.marks || ''),
      String(folder.importedBy || ''),
      String(folder.importsFrom || ''),
    ]);
  const rest = all.length - rows.length;
  return [
    '## Folders',
    table(
      [
        'Folder',
        'Mostly',
        '>Files',
        '>Lines of code',
        '>Share',
        'Longest function',
        '>Marks',
        '>Imported by',
        '>Imports from',
      ],
      rows,
    ),
    ...(rest > 0 ? [`… and ${plural(rest, 'smaller folder')}.`] : []),
    '*Imported by, imports from: in folders. Marks: TODO, FIXME and the like.*',
  ];
}

function longest({ functions, largest }: Analysis): string[] {
  return [
    ...(functions.length === 0
      ? []
      : [
          '## Longest functions',
          table(
            ['>Lines', 'Function', 'Where'],
            functions.map(({ lines, name, path, line }) => [
              count(lines),
              `\`${cell(name)}\``,
              `\`${path}:${line}\``,
            ]),
          ),
        ]),
    ...(largest.length === 0
      ? []
      : [
          '## Longest files',
          table(
            ['>Lines', '>Comments', 'File'],
            largest.map(({ lines, path }) => [count(lines.code), count(lines.comment), `\`${path}\``]),
          ),
        ]),
  ];
}

function markedForLater({ marks, totals }: Analysis): string[] {
  if (totals.marks === 0) return [];
  const lines = marks.first.map(({ kind, path, line, text }) =>
    `- **${kind}** \`${path}:${line}\` ${prose(text)}`.trimEnd(),
  );
  const rest = totals.marks - lines.length;
  return ['## Marked for later', lines.join('\n'), ...(rest > 0 ? [`… and ${count(rest)} more.`] : [])];
}

function worthALook({ suspicions, twins, namesakes }: Analysis): string[] {
  const found = suspicions.map(({ kind, count: all, first }) => {
    const examples = first.map(
      ({ path, line, text }) =>
        `  - \`${path}:${line}\` ${text === '' ? '' : `\`${cell(text).replaceAll('`', "'")}\``}`,
    );
    return [`- **${kind}**: ${plural(all, 'place')}`, ...examples].join('\n');
  });
  const copies = twins.map((group) => `- ${group.map((path) => `\`${path}\``).join(' = ')}`);
  const names = namesakes.map(({ name, count: all }) => `\`${name}\` (${all})`);
  return [
    '## Worth a look',
    found.length === 0
      ? 'None of the simple patterns (secrets, conflict markers, swallowed errors, `debugger`, …) matched.'
      : `Found by simple patterns, rarest first; a pattern is a hint, not a verdict.\n\n${found.join('\n')}`,
    ...(copies.length > 0 ? ['Files with the same content:', copies.join('\n')] : []),
    ...(names.length > 0 ? [`Names that occur more than twice: ${names.join(', ')}.`] : []),
  ];
}

function missing({ survey, missing: uninspected }: Gathered, { totals }: Analysis): string[] {
  const lines = [
    ...uninspected.map(({ folder, reason }) => `- \`${folder}\` was not inspected: ${prose(reason)}`),
    ...survey.folders
      .filter(({ leftOut }) => leftOut > 0)
      .map(
        ({ path, leftOut }) => `- \`${path}\`: ${plural(leftOut, 'file')} beyond what one inspection takes`,
      ),
    ...survey.skipped.slice(0, 20).map(({ path, reason }) => `- \`${path}\`: ${reason}`),
    ...(survey.skipped.length > 20 ? [`- … and ${survey.skipped.length - 20} more`] : []),
    ...(totals.notRead > 0
      ? [
          `- ${plural(totals.notRead, 'file')} only by size: larger than 1 MB, binary, or gone since the survey`,
        ]
      : []),
  ];
  return lines.length === 0 ? [] : ['## What is missing', lines.join('\n')];
}

function provenance(
  { survey, inspections, missing: uninspected }: Gathered,
  { text, model, reason }: Narration,
  run: RunRecord,
): string[] {
  const extra =
    run.extraStarts === 0
      ? 'each in one go'
      : `${plural(run.extraStarts, 'start')} more than needed (${plural(run.crashes, 'crash').replace('crashs', 'crashes')})`;
  const words =
    text === null
      ? `No model was used${reason === null ? '' : `: ${prose(reason)}`}; every sentence above is made from counts.`
      : `The summary was written by ${model}; it was given figures and names, never the text of a file.`;
  return [
    '## How this was made',
    [
      `- Of \`${survey.root}\`, begun ${new Date(run.startedAt).toISOString()}, run \`${run.id}\`.`,
      `- One surveyor, ${inspections.length} of ${inspections.length + uninspected.length} folders inspected, one writer: LangGraph agents run by Jotty out of a SQLite file, ${extra}.`,
      `- ${words}`,
      '- Functions, imports and findings are read by heuristics, without a compiler; ignored files, `node_modules` and binaries were left out.',
    ].join('\n'),
  ];
}
