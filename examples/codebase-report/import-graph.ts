import { posix } from 'node:path';
import type { Import } from './imports.ts';
import type { At, Inspection } from './inspection.ts';
import type { Identity } from './survey.ts';

export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly imports: number;
}

export interface Popular {
  readonly name: string;
  /** How many files import it. */
  readonly importers: number;
}

export interface ImportGraph {
  /** Between folders, most imports first. */
  readonly edges: readonly Edge[];
  /** Groups of folders that import each other in a circle. */
  readonly cycles: readonly (readonly string[])[];
  readonly files: readonly Popular[];
  readonly packages: readonly Popular[];
  /** Imports that look like this project's own, but lead to no file that was surveyed. */
  readonly unresolved: readonly (At & { readonly target: string })[];
}

/** Follows all imports to files of the project where they lead there; the rest is packages. */
export function importGraph(inspections: readonly Inspection[], identity: Identity): ImportGraph {
  const resolver = new Resolver(inspections, identity);
  const edges = new Map<string, Edge>();
  const files = new Map<string, Set<string>>();
  const packages = new Map<string, Set<string>>();
  const unresolved: (At & { target: string })[] = [];

  for (const { folder, imports } of inspections) {
    for (const found of imports) {
      const file = resolver.fileOf(found);
      if (file === null) {
        if (found.kind === 'path') unresolved.push({ path: found.path, target: found.target });
        else collect(packages, packageOf(found), found.path);
        continue;
      }
      if (file === found.path) continue;
      collect(files, file, found.path);
      const to = resolver.folderOf(file);
      const key = `${folder}\n${to}`;
      if (to !== folder) edges.set(key, { from: folder, to, imports: (edges.get(key)?.imports ?? 0) + 1 });
    }
  }
  const all = [...edges.values()].sort(
    (a, b) => b.imports - a.imports || compare(a.from, b.from) || compare(a.to, b.to),
  );
  return {
    edges: all,
    cycles: cyclesOf(all),
    files: popular(files),
    packages: popular(packages),
    unresolved,
  };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function collect(into: Map<string, Set<string>>, name: string, importer: string): void {
  const importers = into.get(name);
  if (importers === undefined) into.set(name, new Set([importer]));
  else importers.add(importer);
}

function popular(found: ReadonlyMap<string, ReadonlySet<string>>): Popular[] {
  return [...found]
    .map(([name, importers]) => ({ name, importers: importers.size }))
    .sort((a, b) => b.importers - a.importers || compare(a.name, b.name));
}

/** The package a module belongs to: `@scope/name/deep` is `@scope/name`; Go paths stay whole. */
function packageOf({ target, path }: Import & At): string {
  const extension = posix.extname(path);
  if (extension === '.go' || /^\.(c|h|cc|cpp|hpp|cxx|hh)$/.test(extension)) return target;
  if (/^\.(java|kt|scala)$/.test(extension)) return target.split('.').slice(0, 3).join('.');
  if (extension === '.rs') return target.split('::')[0] as string;
  if (extension === '.py' || extension === '.cs') return target.split('.')[0] as string;
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
}

const EXTENSIONS =
  'ts tsx mts cts d.ts d.mts d.cts js jsx mjs cjs json vue svelte css scss py pyi rs rb go h hpp dart'.split(
    ' ',
  );
const INDEXES = ['index', '__init__', 'mod', 'lib'];

class Resolver {
  readonly #folders = new Map<string, string>();
  /** Files by every ending of their path without extension, `b/c` and `a/b/c` for `a/b/c.java`; ambiguous endings are null. */
  readonly #endings = new Map<string, string | null>();
  readonly #identity: Identity;

  constructor(inspections: readonly Inspection[], identity: Identity) {
    this.#identity = identity;
    for (const { folder, files } of inspections)
      for (const { path } of files) this.#folders.set(path, folder);
    for (const path of this.#folders.keys()) this.#remember(path);
  }

  folderOf(file: string): string {
    return this.#folders.get(file) as string;
  }

  fileOf(found: Import & At): string | null {
    return found.kind === 'path' ? this.#byPath(found.target) : this.#byModule(found);
  }

  #byPath(target: string): string | null {
    const stem = target.replace(/\.(?:[mc]?[jt]sx?)$/, '');
    const candidates = [
      target,
      ...[stem, target].flatMap((base) => EXTENSIONS.map((extension) => `${base}.${extension}`)),
    ];
    const inside = INDEXES.flatMap((index) =>
      EXTENSIONS.map((extension) => posix.join(target, `${index}.${extension}`)),
    );
    return [...candidates, ...inside].find((path) => this.#folders.has(path)) ?? null;
  }

  #byModule({ target, path }: Import & At): string | null {
    const extension = posix.extname(path);
    if (extension === '.go') return this.#inGoModule(target);
    if (extension === '.py')
      return this.#dotted(target) ?? this.#dotted(target.split('.').slice(0, -1).join('.'));
    if (/^\.(java|kt|scala)$/.test(extension)) return this.#dotted(target) ?? null;
    if (extension === '.rs') return this.#inCrate(target, path);
    if (/^\.(c|h|cc|cpp|hpp|cxx|hh)$/.test(extension))
      return target.includes('/') ? this.#ending(target.replace(/\.\w+$/, ''), posix.extname(target)) : null;
    const own = this.#identity.modules.find((name) => target.startsWith(`${name}/`));
    return own === undefined
      ? this.#alias(target)
      : (this.#byPath(target.slice(own.length + 1)) ?? this.#byPath(`src/${target.slice(own.length + 1)}`));
  }

  /** `@/x` and `~/x` are `src/x` by the custom of most bundlers. */
  #alias(target: string): string | null {
    if (!/^[@~]\//.test(target)) return null;
    return this.#byPath(`src/${target.slice(2)}`) ?? this.#byPath(target.slice(2));
  }

  /** A Go import names a folder: its first file stands for it. */
  #inGoModule(target: string): string | null {
    const module = this.#identity.modules.find((name) => target === name || target.startsWith(`${name}/`));
    if (module === undefined) return null;
    const folder = target.slice(module.length + 1);
    for (const path of this.#folders.keys())
      if (path.endsWith('.go') && posix.dirname(path) === (folder || '.')) return path;
    return null;
  }

  #dotted(target: string): string | null {
    if (target === '') return null;
    const path = target.replaceAll('.', '/');
    return (
      this.#byPath(path) ?? this.#byPath(`src/${path}`) ?? (path.includes('/') ? this.#ending(path) : null)
    );
  }

  #inCrate(target: string, path: string): string | null {
    const [crate, ...rest] = target.split('::');
    if (crate !== 'crate' && !this.#identity.modules.includes(crate as string)) return null;
    const source = path.startsWith('src/') ? 'src' : path.replace(/(^|\/)src\/.*$/, '$1src');
    for (let length = rest.length; length > 0; length -= 1) {
      const found = this.#byPath(`${source}/${rest.slice(0, length).join('/')}`);
      if (found !== null) return found;
    }
    return this.#byPath(`${source}/lib`);
  }

  #ending(stem: string, extension?: string): string | null {
    const found = this.#endings.get(stem) ?? null;
    return found !== null && (extension === undefined || found.endsWith(extension)) ? found : null;
  }

  #remember(path: string): void {
    const parts = path.replace(/\.\w+$/, '').split('/');
    for (let from = 0; from < parts.length; from += 1) {
      const ending = parts.slice(from).join('/');
      this.#endings.set(ending, this.#endings.has(ending) ? null : path);
    }
  }
}

/** Strongly connected folders (Tarjan); each such group contains at least one circle. */
export function cyclesOf(edges: readonly Edge[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];

  const visit = (folder: string): void => {
    order.set(folder, order.size);
    low.set(folder, order.get(folder) as number);
    stack.push(folder);
    for (const other of next.get(folder) ?? []) {
      if (!order.has(other)) visit(other);
      if (stack.includes(other))
        low.set(folder, Math.min(low.get(folder) as number, low.get(other) as number));
    }
    if (low.get(folder) !== order.get(folder)) return;
    const group = stack.splice(stack.indexOf(folder));
    if (group.length > 1) cycles.push(group.sort());
  };
  for (const folder of next.keys()) if (!order.has(folder)) visit(folder);
  return cycles.sort((a, b) => b.length - a.length);
}
