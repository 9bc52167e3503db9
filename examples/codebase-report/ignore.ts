/** A rule of a .gitignore file, bound to the folder the file lies in. */
export interface IgnoreRule {
  readonly pattern: RegExp;
  readonly negated: boolean;
  readonly foldersOnly: boolean;
}

/** The rules of one .gitignore file. `folder` is its place, relative to the root, '' for the root itself. */
export function ignoreRules(text: string, folder: string): IgnoreRule[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.replace(/(?<!\\)\s+$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line) => ruleOf(line, folder));
}

/** Whether a path is ignored: the last rule that matches decides, as in git. */
export function isIgnored(path: string, isFolder: boolean, rules: readonly IgnoreRule[]): boolean {
  const last = rules.findLast((rule) => (isFolder || !rule.foldersOnly) && rule.pattern.test(path));
  return last !== undefined && !last.negated;
}

function ruleOf(line: string, folder: string): IgnoreRule[] {
  const negated = line.startsWith('!');
  const foldersOnly = line.endsWith('/');
  const glob = line.slice(negated ? 1 : 0, foldersOnly ? -1 : undefined).replace(/^\\/, '');
  const anchored = glob.includes('/');
  const base = folder === '' ? '' : `${escaped(folder)}/`;
  try {
    const body = expression(glob.replace(/^\//, ''));
    return [{ pattern: new RegExp(`^${base}${anchored ? '' : '(?:.*/)?'}${body}$`), negated, foldersOnly }];
  } catch {
    return []; // A pattern that is no pattern ignores nothing, as in git.
  }
}

function expression(glob: string): string {
  return glob
    .split(/(\*\*\/|\/\*\*$|\*|\?|\[[^\]]+\])/)
    .map((part) => {
      if (part === '**/') return '(?:.*/)?';
      if (part === '/**') return '/.*';
      if (part === '*') return '[^/]*';
      if (part === '?') return '[^/]';
      return part.startsWith('[') ? part.replace(/^\[!/, '[^') : escaped(part);
    })
    .join('');
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
