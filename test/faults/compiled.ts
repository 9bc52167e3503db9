import { spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type * as Jotty from '../../src/index.ts';
import type * as Queues from '../../src/queue/index.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Below node_modules: git and the package do not see it, and packages resolve from there. */
const CACHE = join(ROOT, 'node_modules', '.cache', 'jotty-faults');
/** Older outputs may still be in use by a run beside this one. */
const KEPT_MS = 60 * 60_000;
const PARTS = ['src', join('test', 'faults', 'workers')];

let folder: string | undefined;

/**
 * The path of a worker as plain JavaScript. The storms start hundreds of processes: through a loader each
 * start would take 1 s of CPU, so that sources and workers are transpiled once per state of the sources.
 */
export function compiledWorker(name: string): string {
  folder ??= compile();
  return join(folder, 'test', 'faults', 'workers', `${name}.js`);
}

/** Jotty's classes as an app has them, beside the workers. */
export async function compiledJotty(): Promise<typeof Jotty & typeof Queues> {
  folder ??= compile();
  const load = (path: string) => import(pathToFileURL(join(folder!, 'src', path)).href);
  return { ...(await load('queue/index.js')), ...(await load('index.js')) };
}

function compile(): string {
  const files = PARTS.flatMap((part) => filesOf(join(ROOT, part)));
  const target = join(CACHE, digest(files));
  if (existsSync(target)) return target;
  const building = `${target}.${randomUUID()}`;
  mkdirSync(building, { recursive: true });
  removeOld();
  try {
    transpile(building);
    for (const file of files) if (!file.endsWith('.ts')) copyInto(building, file);
    publish(building, target);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
  return target;
}

/** Another test file may have been faster; its output is the same. */
function publish(building: string, target: string): void {
  try {
    renameSync(building, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
  }
}

function transpile(outDir: string): void {
  writeFileSync(join(outDir, 'package.json'), '{ "type": "module" }');
  const config = join(outDir, 'tsconfig.json');
  const compilerOptions = { rootDir: ROOT, outDir, declaration: false, noCheck: true, types: [] };
  const include = PARTS.map((part) => join(ROOT, part));
  writeFileSync(config, JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), compilerOptions, include }));
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', config], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the workers could not be transpiled:\n${stdout}`);
}

function filesOf(path: string): string[] {
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function digest(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files)
    hash.update(relative(ROOT, file)).update('\0').update(readFileSync(file)).update('\0');
  return hash.digest('hex').slice(0, 16);
}

function copyInto(outDir: string, file: string): void {
  const target = join(outDir, relative(ROOT, file));
  mkdirSync(dirname(target), { recursive: true });
  cpSync(file, target);
}

function removeOld(): void {
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > KEPT_MS)
      rmSync(path, { recursive: true, force: true });
  }
}
