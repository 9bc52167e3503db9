import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { type Finding, marksOf, suspicionsOf } from './findings.ts';
import { type FunctionSpan, functionsOf } from './functions.ts';
import { type Import, importsOf } from './imports.ts';
import { isTestPath, languageOf } from './languages.ts';
import { type Source, takeApart } from './source.ts';

/** One file of an inspected folder. `path` is relative to the root of the report. */
export interface InspectedFile {
  readonly path: string;
  readonly language: string;
  readonly bytes: number;
  readonly lines: { readonly code: number; readonly comment: number; readonly blank: number };
  readonly hash: string;
  readonly test: boolean;
  /** Why only its size is known, if so. */
  readonly note?: 'generated' | 'binary' | 'too large' | 'gone';
}

export interface At {
  readonly path: string;
}

/** What the inspector found in one folder. Lists are bounded; `counts` are not. */
export interface Inspection {
  readonly folder: string;
  readonly files: readonly InspectedFile[];
  readonly functions: readonly (FunctionSpan & At)[];
  readonly imports: readonly (Import & At)[];
  readonly marks: readonly (Finding & At)[];
  readonly suspicions: readonly (Finding & At)[];
  readonly counts: {
    readonly functions: number;
    readonly imports: number;
    readonly marks: number;
    readonly suspicions: number;
  };
}

/** A larger file is generated or data; reading it would say nothing. */
const FILE_BYTES_MAX = 1024 * 1024;
const FUNCTIONS_MAX = 30;
const IMPORTS_MAX = 1_500;
const MARKS_MAX = 100;
const SUSPICIONS_MAX = 50;

type Found<T> = { readonly all: readonly (T & At)[]; readonly count: number };

const State = Annotation.Root({
  goal: Annotation<string>,
  root: Annotation<string>,
  folder: Annotation<string>,
  names: Annotation<readonly string[]>,
  files: Annotation<readonly InspectedFile[]>,
  functions: Annotation<Found<FunctionSpan>>,
  imports: Annotation<Found<Import>>,
  marks: Annotation<Found<Finding>>,
  suspicions: Annotation<Found<Finding>>,
  inspection: Annotation<Inspection>,
});
type Inspecting = typeof State.State;

/** Is told of each folder as its inspection begins; the tests count these. */
export type InspectionListener = (folder: string) => void;

/**
 * The agent that inspects one folder. It measures all files first; functions, imports and findings are
 * looked for side by side; no text of a file ever gets into a checkpoint.
 */
export function inspector(onInspection: InspectionListener = () => {}) {
  const desk = new Desk();
  return new StateGraph(State)
    .addNode('measuring', async (state, { signal }) => {
      onInspection(state.folder);
      return { files: await measured(state, desk, signal) };
    })
    .addNode('findingFunctions', async (state, { signal }) => {
      const { all, count } = await collected(state, desk, functionsOf, Number.POSITIVE_INFINITY, signal);
      return {
        functions: { all: [...all].sort((a, b) => b.lines - a.lines).slice(0, FUNCTIONS_MAX), count },
      };
    })
    .addNode('followingImports', async (state, { signal }) => {
      return { imports: await collected(state, desk, importsOf, IMPORTS_MAX, signal) };
    })
    .addNode('readingMarks', async (state, { signal }) => {
      return { marks: await collected(state, desk, marksOf, MARKS_MAX, signal) };
    })
    .addNode('suspecting', async (state, { signal }) => {
      return { suspicions: await collected(state, desk, suspicionsOf, SUSPICIONS_MAX, signal) };
    })
    .addNode('concluding', (state) => {
      desk.clear(state.root, state.files);
      return { inspection: inspectionOf(state) };
    })
    .addEdge(START, 'measuring')
    .addEdge('measuring', 'findingFunctions')
    .addEdge('measuring', 'followingImports')
    .addEdge('measuring', 'readingMarks')
    .addEdge('measuring', 'suspecting')
    .addEdge(['findingFunctions', 'followingImports', 'readingMarks', 'suspecting'], 'concluding')
    .addEdge('concluding', END)
    .compile({ name: 'inspector' });
}

/**
 * The files that lie open. Four nodes look at the same files in one superstep, so what one has taken apart the
 * others find here. A resumed run finds the desk empty and reads again; nothing depends on it.
 */
class Desk {
  static readonly CHARS_MAX = 16 * 1024 * 1024;
  readonly #open = new Map<string, Source>();
  #chars = 0;

  async source(root: string, path: string): Promise<Source> {
    const key = join(root, path);
    return this.#open.get(key) ?? this.lay(key, await readFile(key, 'utf8').catch(() => ''), path);
  }

  lay(key: string, text: string, path: string): Source {
    const source = takeApart(text, languageOf(path).syntax);
    if (this.#chars + text.length > Desk.CHARS_MAX) {
      this.#open.clear();
      this.#chars = 0;
    }
    this.#chars -= this.#open.get(key)?.text.length ?? 0;
    this.#open.set(key, source);
    this.#chars += text.length;
    return source;
  }

  clear(root: string, files: readonly InspectedFile[]): void {
    for (const { path } of files) {
      this.#chars -= this.#open.get(join(root, path))?.text.length ?? 0;
      this.#open.delete(join(root, path));
    }
  }
}

async function measured(
  { root, folder, names }: Inspecting,
  desk: Desk,
  signal?: AbortSignal,
): Promise<InspectedFile[]> {
  const files: InspectedFile[] = [];
  for (const name of names) {
    signal?.throwIfAborted();
    files.push(await measure(root, folder === '.' ? name : `${folder}/${name}`, desk));
  }
  return files;
}

const NO_LINES = { code: 0, comment: 0, blank: 0 };

async function measure(root: string, path: string, desk: Desk): Promise<InspectedFile> {
  const language = languageOf(path);
  const known = {
    path,
    language: language.name,
    bytes: 0,
    lines: NO_LINES,
    hash: '',
    test: isTestPath(path),
  };
  try {
    const { size } = await stat(join(root, path));
    if (size > FILE_BYTES_MAX) return { ...known, bytes: size, note: 'too large' };
    const content = await readFile(join(root, path));
    const hash = createHash('sha256').update(content).digest('base64url').slice(0, 16);
    if (content.includes(0)) return { ...known, bytes: size, hash, note: 'binary' };
    const source = desk.lay(join(root, path), content.toString('utf8'), path);
    const measuredFile = { ...known, bytes: size, hash, lines: linesOf(source) };
    return isGenerated(source.text) ? { ...measuredFile, note: 'generated' } : measuredFile;
  } catch {
    return { ...known, note: 'gone' }; // Deleted since the survey, or not ours to read.
  }
}

function linesOf({ text, code, comments }: Source): InspectedFile['lines'] {
  const counted = { code: 0, comment: 0, blank: 0 };
  if (text === '') return counted;
  const codeLines = code.split('\n');
  const commentLines = comments.split('\n');
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  lines.forEach((line, at) => {
    if (line.trim() === '') counted.blank += 1;
    else if (codeLines[at]?.trim() === '' && commentLines[at]?.trim() !== '') counted.comment += 1;
    else counted.code += 1;
  });
  return counted;
}

/** Minified or written by a tool: very long lines, or a header that says so. */
function isGenerated(text: string): boolean {
  const lines = text.split('\n').length;
  return (
    (text.length > 5_000 && text.length / lines > 300) ||
    /@generated|do not edit|autogenerated|automatically generated/i.test(text.slice(0, 400))
  );
}

type Look<T> = (source: Source, language: ReturnType<typeof languageOf>, path: string) => readonly T[];

/** Looks into each readable file of the folder, keeps at most `limit` of what it finds, and counts all of it. */
async function collected<T extends object>(
  state: Inspecting,
  desk: Desk,
  look: Look<T>,
  limit: number,
  signal?: AbortSignal,
): Promise<Found<T>> {
  const all: (T & At)[] = [];
  let count = 0;
  for (const { path } of state.files.filter(({ note }) => note === undefined)) {
    signal?.throwIfAborted();
    const language = languageOf(path);
    const found = look(await desk.source(state.root, path), language, path);
    count += found.length;
    all.push(...found.slice(0, Math.max(0, limit - all.length)).map((one) => ({ ...one, path })));
  }
  return { all, count };
}

function inspectionOf({ folder, files, functions, imports, marks, suspicions }: Inspecting): Inspection {
  return {
    folder,
    files,
    functions: functions.all,
    imports: imports.all,
    marks: marks.all,
    suspicions: suspicions.all,
    counts: {
      functions: functions.count,
      imports: imports.count,
      marks: marks.count,
      suspicions: suspicions.count,
    },
  };
}
