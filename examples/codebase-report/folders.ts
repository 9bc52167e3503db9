import { posix } from 'node:path';
import { languageOf } from './languages.ts';
import type { Walk, WalkedFile } from './walk.ts';

/** A folder to inspect: the files that lie in it, names relative to it. */
export interface Folder {
  /** Relative to the root; `.` is the root itself. */
  readonly path: string;
  readonly files: readonly string[];
  readonly bytes: number;
  /** Files beyond the bound of one goal. */
  readonly leftOut: number;
  /** 1–9: larger and more central folders are inspected first. */
  readonly priority: number;
}

/** More folders than this are not queued one by one: what lies deeper is inspected with its ancestor. */
const FOLDERS_MAX = 300;
/** The result of an inspection has to fit into the queue: 1 MiB at some hundred bytes a file. */
const FILES_PER_FOLDER_MAX = 1_200;

/** The folders of a walk in the order of their importance. */
export function foldersOf({ files }: Pick<Walk, 'files'>): Folder[] {
  const groups = grouped(files);
  const most = Math.max(1, ...[...groups.values()].map(codeBytes));
  return [...groups]
    .map(([path, own]) => ({
      path,
      files: own.slice(0, FILES_PER_FOLDER_MAX).map((file) => posix.relative(path, file.path)),
      leftOut: Math.max(0, own.length - FILES_PER_FOLDER_MAX),
      bytes: own.reduce((sum, file) => sum + file.bytes, 0),
      priority: priorityOf(path, codeBytes(own) / most),
    }))
    .sort((a, b) => b.priority - a.priority || b.bytes - a.bytes || (a.path < b.path ? -1 : 1));
}

/** The greatest depth at which there are few enough folders decides how finely the tree is cut. */
function grouped(files: readonly WalkedFile[]): Map<string, WalkedFile[]> {
  const deepest = Math.max(1, ...files.map((file) => file.path.split('/').length));
  for (let depth = deepest; depth > 1; depth -= 1) {
    const groups = groupedAt(files, depth);
    if (groups.size <= FOLDERS_MAX) return groups;
  }
  return groupedAt(files, 1);
}

function groupedAt(files: readonly WalkedFile[], depth: number): Map<string, WalkedFile[]> {
  const groups = new Map<string, WalkedFile[]>();
  for (const file of files) {
    const folder = posix.dirname(file.path).split('/').slice(0, depth).join('/');
    const group = groups.get(folder);
    if (group === undefined) groups.set(folder, [file]);
    else group.push(file);
  }
  return groups;
}

function codeBytes(files: readonly WalkedFile[]): number {
  return files
    .filter(({ path }) => languageOf(path).kind === 'code')
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Half by share of the code, half by nearness to the root; 10 stays free for the survey. */
function priorityOf(path: string, share: number): number {
  const depth = path === '.' ? 0 : path.split('/').length;
  const size = share === 0 ? 0 : 1 + Math.round(4 * share);
  return Math.max(1, Math.min(9, size + Math.max(0, 4 - depth)));
}
