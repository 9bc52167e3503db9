import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const src = fileURLToPath(new URL('../src/', import.meta.url));

/** Who may import whom, by folder of src. The root files that everybody may import are `errors`, `clock`, `json`. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  '': ['', 'orchestration', 'queue'],
  queue: ['', 'queue'],
  'queue/backends/memory': ['', 'queue', 'queue/backends/memory'],
  'queue/backends/sqlite': ['', 'queue', 'queue/backends/sqlite', 'sqlite', 'checkpoint'],
  'queue/backends/redis': ['', 'queue', 'queue/backends/redis', 'redis', 'checkpoint'],
  'queue/backends/hybrid': [
    '',
    'queue',
    'queue/backends/hybrid',
    'queue/backends/redis',
    'redis',
    'checkpoint',
  ],
  sqlite: ['', 'sqlite'],
  redis: ['', 'redis'],
  checkpoint: ['', 'checkpoint', 'sqlite', 'redis'],
  orchestration: ['', 'orchestration', 'queue', 'queue/backends/memory', 'checkpoint'],
  testing: ['', 'testing', 'queue'],
  tools: ['', 'tools', 'orchestration', 'queue'],
};

/** Single edges that the table of folders does not allow, each with its reason. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // The public entry of the queue lists its backends.
  'queue/index.ts': [
    'queue/backends/memory',
    'queue/backends/sqlite',
    'queue/backends/redis',
    'queue/backends/hybrid',
  ],
  // The default saver of a queue without storage of its own; loaded only when asked for.
  'queue/stored-task-queue.ts': ['checkpoint'],
};

/** Packages that may be imported, by folder. Type imports count too: they end up in the declarations. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  queue: ['uuid'],
  sqlite: ['better-sqlite3'],
  redis: ['ioredis'],
  checkpoint: ['@langchain/langgraph-checkpoint', '@langchain/core'],
  orchestration: [
    '@langchain/langgraph',
    '@langchain/langgraph-checkpoint',
    '@langchain/core',
    'croner',
    'p-queue',
    'uuid',
  ],
  tools: ['@langchain/core'],
};

interface Import {
  readonly file: string;
  readonly target: string;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);

function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8');
  const found = text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s*'([^']+)'|import\('([^']+)'\)/g);
  return [...found].map((match) => ({ file, target: match[1] ?? match[2]! }));
}

function folderOf(file: string): string {
  const folder = dirname(file);
  return folder === '.' ? '' : folder;
}

/** A folder of the table, or the nearest one above. */
function ruleOf<T>(table: Readonly<Record<string, T>>, folder: string): T | undefined {
  for (let at = folder; ; at = folderOf(at)) {
    const rule = table[at];
    if (rule !== undefined || at === '') return rule;
  }
}

function layerOf(file: string): string {
  const known = Object.keys(MAY_IMPORT).sort((a, b) => b.length - a.length);
  const folder = folderOf(file);
  return (
    known.find((layer) => layer === folder || (layer !== '' && folder.startsWith(`${layer}/`))) ?? folder
  );
}

test('imports go where the table allows', () => {
  // Were the pattern to miss them, the table would hold for nothing.
  expect(imports.length).toBeGreaterThan(200);
  const offences = imports
    .filter(({ target }) => target.startsWith('.'))
    .map(({ file, target }) => ({ file, target: relative(src, join(src, folderOf(file), target)) }))
    .filter(({ file, target }) => {
      const layer = layerOf(target);
      const allowed = [...(MAY_IMPORT[layerOf(file)] ?? []), ...(EXCEPTIONS[file] ?? [])];
      return !allowed.includes(layer);
    });
  expect(offences).toEqual([]);
});

test('packages are imported only where they belong', () => {
  const offences = imports
    .filter(({ target }) => !target.startsWith('.') && !target.startsWith('node:'))
    .filter(({ file, target }) => {
      const name = target
        .split('/')
        .slice(0, target.startsWith('@') ? 2 : 1)
        .join('/');
      return !(ruleOf(PACKAGES, folderOf(file)) ?? []).includes(name);
    });
  expect(offences).toEqual([]);
});

test('only the edges look at a clock or roll dice by themselves', () => {
  const edges =
    /^(clock|queue\/queue-options|sqlite|redis|checkpoint\/incremental-saver|orchestration|testing)/;
  const offences = files
    .filter((file) => !edges.test(file))
    .filter((file) =>
      /\bDate\.now\(|\bMath\.random\(|[^.\w]setTimeout\(/.test(readFileSync(join(src, file), 'utf8')),
    );
  expect(offences).toEqual([]);
});

test('no file is longer than 400 lines, but the queue itself', () => {
  const long = files.filter((file) => readFileSync(join(src, file), 'utf8').split('\n').length > 400);
  expect(long.filter((file) => !ALLOWED_LONG.includes(file))).toEqual([]);
});

/** One class with all verbs of the contract, and the state machine; both read better whole. */
const ALLOWED_LONG = [
  'queue/stored-task-queue.ts',
  'queue/transitions.ts',
  'queue/backends/hybrid/hybrid-task-store.ts',
];
