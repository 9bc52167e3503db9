import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type IgnoreRule, ignoreRules, isIgnored } from './ignore.ts';
import { isBinaryName } from './languages.ts';

/** What the walk found. All paths are relative to the root, with `/` between their parts. */
export interface Walk {
  readonly files: readonly WalkedFile[];
  /** Binary files: counted, never read. */
  readonly binaries: readonly WalkedFile[];
  /** What was left out and why, for the report. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

export interface WalkedFile {
  readonly path: string;
  readonly bytes: number;
}

/** Bounds of a walk. A tree beyond them is reported as far as it goes, and the report says so. */
const DEPTH_MAX = 24;
const FILES_MAX = 8_000;
const BINARIES_MAX = 2_000;
const SKIPPED_MAX = 200;

const NEVER = new Set([
  '.git',
  '.hg',
  '.svn',
  'node_modules',
  '__pycache__',
  '.venv',
  '.jotty',
  '.DS_Store',
  '.idea',
  '.cache',
]);

/** Walks a directory tree, breadth first, so that a bound cuts off what lies deepest. Symbolic links are not followed. */
export async function walk(root: string, signal?: AbortSignal): Promise<Walk> {
  const files: WalkedFile[] = [];
  const binaries: WalkedFile[] = [];
  const skipped: { path: string; reason: string }[] = [];
  const skip = (path: string, reason: string): void => {
    if (skipped.length < SKIPPED_MAX) skipped.push({ path, reason });
  };
  let level: { folder: string; rules: readonly IgnoreRule[] }[] = [{ folder: '', rules: [] }];

  for (let depth = 0; level.length > 0; depth += 1) {
    const next: typeof level = [];
    for (const { folder, rules: inherited } of level) {
      signal?.throwIfAborted();
      if (depth > DEPTH_MAX) skip(folder, `deeper than ${DEPTH_MAX} folders`);
      else if (files.length >= FILES_MAX) skip(folder || '.', `more than ${FILES_MAX} files`);
      else {
        const found = await readFolder(root, folder, inherited, skip);
        next.push(...found.folders.map((child) => ({ folder: child, rules: found.rules })));
        for (const file of found.files) {
          if (!isBinaryName(file.path)) files.push(file);
          else if (binaries.length < BINARIES_MAX) binaries.push(file);
        }
      }
    }
    level = next;
  }
  if (files.length > FILES_MAX)
    skip('.', `${files.length - FILES_MAX} files beyond the bound of ${FILES_MAX}`);
  return { files: files.slice(0, FILES_MAX), binaries, skipped };
}

async function readFolder(
  root: string,
  folder: string,
  inherited: readonly IgnoreRule[],
  skip: (path: string, reason: string) => void,
): Promise<{ folders: string[]; files: WalkedFile[]; rules: readonly IgnoreRule[] }> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch((error: unknown) => {
    // Without its root a survey is no survey; a folder below it may be closed or gone.
    if (folder === '') throw error;
    skip(folder, 'not readable');
    return [];
  });
  const ignored = entries.some((entry) => entry.name === '.gitignore' && entry.isFile());
  const text = ignored ? await readFile(join(root, folder, '.gitignore'), 'utf8').catch(() => '') : '';
  const rules = ignored ? [...inherited, ...ignoreRules(text, folder)] : inherited;

  const folders: string[] = [];
  const files: WalkedFile[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (NEVER.has(entry.name) || isIgnored(path, entry.isDirectory(), rules)) continue;
    if (entry.isDirectory()) folders.push(path);
    else if (entry.isFile()) {
      const bytes = await stat(join(root, path)).then(
        ({ size }) => size,
        () => -1,
      );
      if (bytes >= 0) files.push({ path, bytes });
    }
  }
  return { folders, files, rules };
}
