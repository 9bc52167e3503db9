import { posix } from 'node:path';
import type { Language } from './languages.ts';
import type { Source } from './source.ts';

/** What a file imports. */
export interface Import {
  /** `path`: relative to the root of the report, as far as the text tells. `module`: a name the language resolves. */
  readonly kind: 'path' | 'module';
  readonly target: string;
}

type Found = readonly [index: number, kind: Import['kind'], target: string];
type Finder = (text: string, folder: string) => Found[];

/** The imports of a file, each target once. Only what stands in code counts, not in strings or comments. */
export function importsOf(source: Source, language: Language, path: string): Import[] {
  const finder = FINDERS[language.name];
  if (finder === undefined) return [];
  const unique = new Map<string, Import>();
  for (const [index, kind, target] of finder(source.text, posix.dirname(path))) {
    const inCode = /\S/.test(source.code.slice(index, index + 12));
    if (inCode && target !== '') unique.set(`${kind} ${target}`, { kind, target });
  }
  return [...unique.values()];
}

const matches = (text: string, pattern: RegExp): RegExpExecArray[] => [...text.matchAll(pattern)];

function fromFolder(folder: string, specifier: string): string {
  return posix.normalize(posix.join(folder, specifier));
}

const javascript: Finder = (text, folder) =>
  [
    ...matches(
      text,
      /(?<![.\w$])(?:import|export)\s+(?:type\s+)?(?:[\w$*\s{},]+\s+from\s+)?(['"])([^'"\n]+)\1/g,
    ),
    ...matches(text, /(?<![.\w$])(?:require|import)\s*\(\s*(['"])([^'"\n]+)\1\s*\)/g),
  ].map((match) => {
    const target = match[2] as string;
    return target.startsWith('.')
      ? [match.index, 'path', fromFolder(folder, target)]
      : [match.index, 'module', target];
  });

const python: Finder = (text, folder) =>
  matches(
    text,
    /^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+([\w*]+)|import[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*))/gm,
  ).flatMap((match): Found[] => {
    const [whole, from, name, modules] = match;
    const index = match.index + (whole.length - whole.trimStart().length);
    if (from === undefined)
      return (modules ?? '').split(',').map((module) => [index, 'module', module.trim()]);
    if (!from.startsWith('.')) return [[index, 'module', from]];
    const dots = /^\.+/.exec(from)?.[0].length ?? 1;
    const rest = from.slice(dots).replaceAll('.', '/') || (name === '*' ? '__init__' : (name as string));
    return [[index, 'path', fromFolder(folder, `${'../'.repeat(dots - 1)}${rest}`)]];
  });

const go: Finder = (text) => [
  ...matches(text, /^import\s+(?:[\w.]+\s+)?"([^"\n]+)"/gm).map(
    (match): Found => [match.index, 'module', match[1] as string],
  ),
  ...matches(text, /^import\s*\(([^)]*)\)/gm).flatMap((block) =>
    matches(block[1] as string, /"([^"\n]+)"/g).map(
      (match): Found => [block.index, 'module', match[1] as string],
    ),
  ),
];

const rust: Finder = (text, folder) => [
  ...matches(text, /^[ \t]*(?:pub(?:\([^)]*\))?\s+)?use\s+([\w:]+)/gm).map((match): Found => {
    return [match.index + leading(match[0]), 'module', (match[1] as string).replace(/::$/, '')];
  }),
  ...matches(text, /^[ \t]*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;/gm).map((match): Found => {
    return [match.index + leading(match[0]), 'path', fromFolder(folder, match[1] as string)];
  }),
];

const include: Finder = (text, folder) =>
  matches(text, /^[ \t]*#[ \t]*(?:include|import)[ \t]*(["<])([^">\n]+)[">]/gm).map((match): Found => {
    const target = match[2] as string;
    const index = match.index + leading(match[0]);
    return match[1] === '"' && target.includes('.')
      ? [index, 'path', fromFolder(folder, target)]
      : [index, 'module', target];
  });

const byPattern =
  (pattern: RegExp): Finder =>
  (text) =>
    matches(text, pattern).map(
      (match): Found => [match.index + leading(match[0]), 'module', match[1] as string],
    );

const ruby: Finder = (text, folder) =>
  matches(text, /^[ \t]*require(_relative)?[ \t(]+['"]([^'"\n]+)['"]/gm).map((match): Found => {
    const [whole, relative, target] = match;
    const index = match.index + leading(whole);
    return relative === undefined
      ? [index, 'module', target as string]
      : [index, 'path', fromFolder(folder, target as string)];
  });

const leading = (text: string): number => text.length - text.trimStart().length;

const dotted = byPattern(/^[ \t]*import\s+(?:static\s+)?([\w.]+)/gm);
const FINDERS: Readonly<Record<string, Finder>> = {
  TypeScript: javascript,
  JavaScript: javascript,
  Vue: javascript,
  Svelte: javascript,
  Python: python,
  Go: go,
  Rust: rust,
  Java: dotted,
  Kotlin: dotted,
  Scala: dotted,
  Swift: dotted,
  Haskell: byPattern(/^import\s+(?:qualified\s+)?([\w.]+)/gm),
  'C#': byPattern(/^[ \t]*using\s+(?:static\s+)?([A-Z][\w.]*)\s*;/gm),
  PHP: byPattern(/^[ \t]*use\s+([\w\\]+)/gm),
  Dart: byPattern(/^import\s+['"]([^'"\n]+)['"]/gm),
  Ruby: ruby,
  C: include,
  'C++': include,
  'Objective-C': include,
};
