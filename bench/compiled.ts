import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const HERE = import.meta.dirname;
const ROOT = join(HERE, '..');
/** What the rounds are made of; `dist` is Jotty as it ships. */
const PARTS = ['bench/*.ts', 'bench/measures', 'bench/peers', 'test/redis', 'scripts/*.ts'];

/**
 * The measures as plain JavaScript in a folder that goes with this process; where it is. A run starts some
 * fifty processes (a full one two hundred): through a loader each start would take a second of CPU more.
 */
export function compiledBench(): string {
  const folder = mkdtempSync(join(HERE, '.work-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  transpile(folder);
  cpSync(join(HERE, 'resident.js'), join(folder, 'bench', 'resident.js'));
  symlinkSync(join(ROOT, 'dist'), join(folder, 'dist'));
  return join(folder, 'bench');
}

function transpile(outDir: string): void {
  writeFileSync(join(outDir, 'package.json'), '{ "type": "module" }');
  const config = join(outDir, 'tsconfig.json');
  const emitted = { rootDir: ROOT, outDir, declaration: false };
  // Each file by itself, as a loader would.
  const compilerOptions = { ...emitted, noCheck: true, noResolve: true, types: [] };
  const include = PARTS.map((part) => join(ROOT, part));
  writeFileSync(config, JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), compilerOptions, include }));
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const tsc = spawnSync(process.execPath, [join(typescript, 'bin', 'tsc'), '-p', config], {
    encoding: 'utf8',
  });
  if (tsc.status !== 0) throw new Error(`the measures could not be compiled:\n${tsc.stdout}${tsc.stderr}`);
}
