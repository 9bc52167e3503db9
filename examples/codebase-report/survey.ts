import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { type Folder, foldersOf } from './folders.ts';
import { type Walk, walk } from './walk.ts';

/** What the manifest and the README say about the project. */
export interface Identity {
  readonly name: string;
  readonly description: string;
  readonly manifest: string | null;
  readonly license: string | null;
  /** What imports of this project's own packages begin with: Go's module path, the name in package.json. */
  readonly modules: readonly string[];
  readonly dependencies: number;
}

/** The result of a survey; the folders are what the run goes on with. */
export interface Survey {
  readonly root: string;
  readonly identity: Identity;
  readonly folders: readonly Folder[];
  readonly files: number;
  readonly bytes: number;
  readonly binaries: { readonly count: number; readonly bytes: number; readonly largest: Walk['binaries'] };
  readonly skipped: Walk['skipped'];
}

const State = Annotation.Root({
  goal: Annotation<string>,
  root: Annotation<string>,
  walk: Annotation<Walk | null>,
  identity: Annotation<Identity>,
  survey: Annotation<Survey>,
});

/** The agent that looks at a directory tree as a whole: walks it, finds out what it is, cuts it into folders. */
export function surveyor() {
  return new StateGraph(State)
    .addNode('walking', async ({ root }, { signal }) => ({ walk: await walk(root, signal) }))
    .addNode('identifying', async ({ root }) => ({ identity: await identityOf(root) }))
    .addNode('cutting', (state) => ({ survey: surveyOf(state), walk: null }))
    .addEdge(START, 'walking')
    .addEdge(START, 'identifying')
    .addEdge(['walking', 'identifying'], 'cutting')
    .addEdge('cutting', END)
    .compile({ name: 'surveyor' });
}

function surveyOf({ root, walk: found, identity }: typeof State.State): Survey {
  const { files, binaries, skipped } = found ?? { files: [], binaries: [], skipped: [] };
  const sum = (all: Walk['files']): number => all.reduce((bytes, file) => bytes + file.bytes, 0);
  return {
    root,
    identity,
    folders: foldersOf({ files }),
    files: files.length,
    bytes: sum(files),
    binaries: { count: binaries.length, bytes: sum(binaries), largest: largest(binaries, 5) },
    skipped,
  };
}

function largest(files: Walk['files'], count: number): Walk['files'] {
  return [...files].sort((a, b) => b.bytes - a.bytes).slice(0, count);
}

const DESCRIPTION_CHARS_MAX = 400;

/** Reads the first manifest there is; the README's first paragraph stands in for a missing description. */
async function identityOf(root: string): Promise<Identity> {
  const read = (name: string): Promise<string> => readFile(join(root, name), 'utf8').catch(() => '');
  const found: Partial<Identity> =
    fromPackageJson(await read('package.json')) ??
    fromToml(await read('Cargo.toml'), 'Cargo.toml') ??
    fromToml(await read('pyproject.toml'), 'pyproject.toml') ??
    fromGoModule(await read('go.mod')) ??
    {};
  const readme =
    (await read('README.md')) ||
    (await read('readme.md')) ||
    (await read('README.rst')) ||
    (await read('README'));
  const license = /^\s*(.*(?:license|licence).*)$/im.exec(
    (await read('LICENSE')) || (await read('LICENSE.md')),
  )?.[1];
  return {
    name: found.name || basename(root),
    description: (found.description || firstParagraph(readme)).slice(0, DESCRIPTION_CHARS_MAX),
    manifest: found.manifest ?? null,
    license: found.license ?? license?.trim().slice(0, 80) ?? null,
    modules: found.modules ?? [],
    dependencies: found.dependencies ?? 0,
  };
}

function fromPackageJson(text: string): Partial<Identity> | null {
  try {
    const json = JSON.parse(text) as Record<string, unknown>;
    const string = (value: unknown): string => (typeof value === 'string' ? value : '');
    const keys = (value: unknown): number =>
      typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
    return {
      name: string(json.name),
      description: string(json.description),
      manifest: 'package.json',
      license: string(json.license) || null,
      modules: json.name === undefined ? [] : [string(json.name)],
      dependencies: keys(json.dependencies) + keys(json.peerDependencies) + keys(json.optionalDependencies),
    };
  } catch {
    return null; // No manifest, or one that only its own tool can read.
  }
}

function fromToml(text: string, manifest: string): Partial<Identity> | null {
  if (text === '') return null;
  const value = (key: string): string =>
    new RegExp(`^${key}\\s*=\\s*["']([^"'\\n]*)["']`, 'm').exec(text)?.[1] ?? '';
  const listed = /^\[dependencies\]\n([^[]*)/m.exec(text)?.[1]?.match(/^[\w-]+\s*=/gm)?.length;
  const name = value('name');
  return {
    name,
    description: value('description'),
    manifest,
    license: value('license') || null,
    modules: name === '' ? [] : [name.replaceAll('-', '_')],
    dependencies:
      listed ?? /^dependencies\s*=\s*\[([^\]]*)\]/m.exec(text)?.[1]?.match(/["'][^"']+["']/g)?.length ?? 0,
  };
}

function fromGoModule(text: string): Partial<Identity> | null {
  const module = /^module\s+(\S+)/m.exec(text)?.[1];
  if (module === undefined) return null;
  const dependencies = text
    .split('\n')
    .filter((line) => /^\s*(require\s+)?[\w.-]+\.[\w./-]+\s+v\d/.test(line) && !line.includes('// indirect'));
  return { name: module, manifest: 'go.mod', modules: [module], dependencies: dependencies.length };
}

function firstParagraph(readme: string): string {
  const prose = readme
    .replace(/<!--[\s\S]*?-->|<[^>]+>|!\[[^\]]*\]\([^)]*\)|\[!\[[^\n]*/g, '')
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.trim().replace(/\s+/g, ' '));
  return (
    prose
      .find(
        (paragraph) =>
          /^[A-Za-z*_`"'[]/.test(paragraph) &&
          paragraph.length > 30 &&
          !/^[=\-\w ]+[=-]{3,}$/.test(paragraph),
      )
      ?.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1') ?? ''
  );
}
