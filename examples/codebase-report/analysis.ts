import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import type { Finding } from './findings.ts';
import type { FunctionSpan } from './functions.ts';
import { type Edge, importGraph, type Popular } from './import-graph.ts';
import type { At, InspectedFile, Inspection } from './inspection.ts';
import { isTestPath, type Kind, languageOf } from './languages.ts';
import type { Survey } from './survey.ts';

/** All that the writer starts from: what the other agents found, and which inspections are missing. */
export interface Gathered {
  readonly survey: Survey;
  readonly inspections: readonly Inspection[];
  readonly missing: readonly { readonly folder: string; readonly reason: string }[];
}

/** The figures of the report. Every list is bounded; where something was cut off, its full count stands beside it. */
export interface Analysis {
  readonly totals: Totals;
  readonly languages: readonly LanguageShare[];
  readonly folders: readonly FolderFigures[];
  readonly edges: readonly Edge[];
  readonly cycles: readonly (readonly string[])[];
  readonly files: readonly Popular[];
  readonly packages: readonly Popular[];
  /** What the platform itself brings: `node:fs` and its kind. */
  readonly builtins: readonly Popular[];
  readonly unimported: readonly string[];
  readonly functions: readonly (FunctionSpan & At)[];
  readonly largest: readonly InspectedFile[];
  readonly marks: {
    readonly counts: Readonly<Record<string, number>>;
    readonly first: readonly (Finding & At)[];
  };
  readonly suspicions: readonly Suspicion[];
  readonly twins: readonly (readonly string[])[];
  readonly namesakes: readonly { readonly name: string; readonly count: number }[];
}

interface Totals {
  readonly files: number;
  readonly lines: number;
  readonly code: number;
  readonly comment: number;
  readonly blank: number;
  readonly functions: number;
  readonly marks: number;
  readonly suspicions: number;
  readonly testFiles: number;
  readonly testCode: number;
  readonly packages: number;
  readonly notRead: number;
}

interface LanguageShare {
  readonly name: string;
  readonly kind: Kind;
  readonly files: number;
  readonly code: number;
  readonly comment: number;
  /** Of all code lines of programming languages, 0–1; 0 for other kinds. */
  readonly share: number;
}

interface FolderFigures {
  readonly path: string;
  readonly files: number;
  readonly code: number;
  readonly language: string;
  readonly test: boolean;
  readonly longest: (FunctionSpan & At) | null;
  readonly marks: number;
  readonly suspicions: number;
  readonly importsFrom: number;
  readonly importedBy: number;
}

interface Suspicion {
  readonly kind: string;
  readonly count: number;
  readonly first: readonly (Finding & At)[];
}

const FUNCTIONS_SHOWN = 20;
const FILES_SHOWN = 15;
const MARKS_SHOWN = 60;
const EXAMPLES_SHOWN = 5;
const EDGES_SHOWN = 200;
const UNIMPORTED_SHOWN = 20;

/** Puts all inspections together. Pure: the same inspections give the same figures. */
export function analyse({ survey, inspections }: Gathered): Analysis {
  const files = inspections.flatMap((inspection) => inspection.files);
  const functions = inspections.flatMap((inspection) => inspection.functions);
  const marks = inspections.flatMap((inspection) => inspection.marks);
  const graph = importGraph(inspections, survey.identity);
  const packages = graph.packages.filter(({ name }) => !isBuiltin(name));
  return {
    totals: totalsOf(files, inspections, packages.length),
    languages: languagesOf(files),
    folders: inspections
      .map((inspection) => figuresOf(inspection, graph.edges))
      .sort((a, b) => b.code - a.code || b.files - a.files),
    edges: graph.edges.slice(0, EDGES_SHOWN),
    cycles: graph.cycles.slice(0, EXAMPLES_SHOWN),
    files: graph.files.slice(0, FILES_SHOWN),
    packages: packages.slice(0, FILES_SHOWN),
    builtins: graph.packages.filter(({ name }) => isBuiltin(name)).slice(0, FILES_SHOWN),
    unimported: unimportedOf(files, new Set(graph.files.map(({ name }) => name))),
    functions: longestOf(functions, FUNCTIONS_SHOWN),
    largest: files
      .filter((file) => isProgram(file) && file.lines.code > 0)
      .sort((a, b) => b.lines.code - a.lines.code)
      .slice(0, FILES_SHOWN),
    marks: { counts: countsOf(marks), first: [...marks].sort(byUrgency).slice(0, MARKS_SHOWN) },
    suspicions: suspicionsOf(inspections.flatMap((inspection) => inspection.suspicions)),
    twins: twinsOf(files),
    namesakes: namesakesOf(files),
  };
}

const sumOf = <T>(all: readonly T[], value: (one: T) => number): number =>
  all.reduce((sum, one) => sum + value(one), 0);

function totalsOf(
  files: readonly InspectedFile[],
  inspections: readonly Inspection[],
  packages: number,
): Totals {
  const code = sumOf(files, ({ lines }) => lines.code);
  const comment = sumOf(files, ({ lines }) => lines.comment);
  const blank = sumOf(files, ({ lines }) => lines.blank);
  const programs = files.filter(isProgram);
  const tests = programs.filter(({ test }) => test);
  return {
    files: files.length,
    lines: code + comment + blank,
    code: sumOf(programs, ({ lines }) => lines.code),
    comment: sumOf(programs, ({ lines }) => lines.comment),
    blank,
    functions: sumOf(inspections, ({ counts }) => counts.functions),
    marks: sumOf(inspections, ({ counts }) => counts.marks),
    suspicions: sumOf(inspections, ({ counts }) => counts.suspicions),
    testFiles: tests.length,
    testCode: sumOf(tests, ({ lines }) => lines.code),
    packages,
    notRead: files.filter(({ note }) => note !== undefined && note !== 'generated').length,
  };
}

const isProgram = ({ path, note }: InspectedFile): boolean =>
  languageOf(path).kind === 'code' && note === undefined;

function languagesOf(files: readonly InspectedFile[]): LanguageShare[] {
  const all = sumOf(files.filter(isProgram), ({ lines }) => lines.code);
  const byName = groupBy(files, ({ language }) => language);
  const shares = [...byName].map(([name, own]): LanguageShare => {
    const { kind } = languageOf((own[0] as InspectedFile).path);
    const written = own.filter(({ note }) => note === undefined);
    const code = sumOf(written, ({ lines }) => lines.code);
    const comment = sumOf(written, ({ lines }) => lines.comment);
    return {
      name,
      kind,
      files: own.length,
      code,
      comment,
      share: kind === 'code' && all > 0 ? code / all : 0,
    };
  });
  return shares.sort((a, b) => b.share - a.share || b.code - a.code || b.files - a.files);
}

function figuresOf({ folder, files, functions, counts }: Inspection, edges: readonly Edge[]): FolderFigures {
  const programs = files.filter(isProgram);
  const shares = languagesOf(files);
  return {
    path: folder,
    files: files.length,
    code: sumOf(programs, ({ lines }) => lines.code),
    language: shares[0]?.name ?? '',
    test: programs.length > 0 && programs.every(({ test }) => test),
    longest: functions[0] ?? null,
    marks: counts.marks,
    suspicions: counts.suspicions,
    importsFrom: edges.filter(({ from }) => from === folder).length,
    importedBy: edges.filter(({ to }) => to === folder).length,
  };
}

/** The longest functions; of copies with the same name and length, as builds leave them, only the first. */
function longestOf(functions: readonly (FunctionSpan & At)[], count: number): (FunctionSpan & At)[] {
  const sorted = [...functions].sort((a, b) => b.lines - a.lines || (a.path < b.path ? -1 : 1));
  const seen = new Set<string>();
  return sorted
    .filter(({ name, lines }) => !seen.has(`${name} ${lines}`) && seen.add(`${name} ${lines}`))
    .slice(0, count);
}

const URGENCY = ['FIXME', 'BUG', 'HACK', 'XXX', 'TODO'];

function byUrgency(a: Finding & At, b: Finding & At): number {
  return (
    URGENCY.indexOf(a.kind) - URGENCY.indexOf(b.kind) ||
    (a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line)
  );
}

function countsOf(findings: readonly Finding[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of findings) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

function suspicionsOf(found: readonly (Finding & At)[]): Suspicion[] {
  return [...groupBy(found, ({ kind }) => kind)]
    .map(([kind, all]) => ({
      kind,
      count: all.length,
      first: [...all]
        .sort((a, b) => Number(isTestPath(a.path)) - Number(isTestPath(b.path)))
        .slice(0, EXAMPLES_SHOWN),
    }))
    .sort((a, b) => a.count - b.count);
}

/** Files with the same content; tiny ones, such as empty package markers, are no finding. */
function twinsOf(files: readonly InspectedFile[]): string[][] {
  const worthwhile = files.filter(({ hash, bytes }) => hash !== '' && bytes > 200);
  return [...groupBy(worthwhile, ({ hash }) => hash).values()]
    .filter((group) => group.length > 1)
    .sort(
      (a, b) =>
        (b[0] as InspectedFile).bytes * (b.length - 1) - (a[0] as InspectedFile).bytes * (a.length - 1),
    )
    .slice(0, FILES_SHOWN)
    .map((group) => group.map(({ path }) => path).slice(0, EXAMPLES_SHOWN));
}

const USUAL_NAMES =
  /^(index|mod|main|lib|types|__init__|setup|conftest|package|readme|license|changelog|tsconfig|makefile|dockerfile|\.)/i;

function namesakesOf(files: readonly InspectedFile[]): { name: string; count: number }[] {
  return [...groupBy(files.filter(isProgram), ({ path }) => posix.basename(path))]
    .filter(([name, group]) => group.length > 2 && !USUAL_NAMES.test(name))
    .map(([name, group]) => ({ name, count: group.length }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
    .slice(0, FILES_SHOWN);
}

const FOLLOWED = new Set(['TypeScript', 'JavaScript', 'Python']);

/** Sources that no other file of the tree imports: where programs begin, or what is no longer used. */
function unimportedOf(files: readonly InspectedFile[], imported: ReadonlySet<string>): string[] {
  return files
    .filter(
      (file) =>
        isProgram(file) &&
        FOLLOWED.has(file.language) &&
        !file.test &&
        file.lines.code > 10 &&
        !imported.has(file.path),
    )
    .filter(
      ({ path }) => !/\.d\.[mc]?ts$|(^|\/)(__init__|setup|conftest)\.py$|\.config\.[mc]?[jt]s$/.test(path),
    )
    .sort((a, b) => b.lines.code - a.lines.code)
    .slice(0, UNIMPORTED_SHOWN)
    .map(({ path }) => path);
}

function groupBy<T>(all: readonly T[], key: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const group = groups.get(key(one));
    if (group === undefined) groups.set(key(one), [one]);
    else group.push(one);
  }
  return groups;
}
