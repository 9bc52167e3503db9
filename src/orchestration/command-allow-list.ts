import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { CommandRefusedError, InvalidOptionError, InvalidTaskError } from '../errors.ts';

/**
 * A program by its name or absolute path, with whatever arguments; the beginning of an argv, e.g.
 * `['npm', 'run']`; or a judge of the whole argv.
 */
export type CommandRule = string | readonly string[] | ((argv: readonly string[]) => boolean);

/** Which programs may run, where they are found, and where they may work. */
export class CommandAllowList {
  readonly #rules: readonly CommandRule[];
  readonly #roots: readonly string[];
  /** The directories in which names are looked up, as a PATH. Fixed when the agent is made. */
  readonly path: string;

  /** @throws InvalidOptionError */
  constructor(allow: readonly CommandRule[], path: string | undefined, roots: readonly string[] | undefined) {
    if (!Array.isArray(allow)) throw new InvalidOptionError('allow', 'a list of programs', allow);
    allow.forEach(checkRule);
    this.#rules = [...allow];
    // An entry like `.` or the empty one would look into the directory that a task chooses.
    this.path = (path ?? process.env.PATH ?? '').split(delimiter).filter(isAbsolute).join(delimiter);
    this.#roots = (roots ?? [process.cwd()]).map((root, i) => existing(root, `roots[${i}]`));
    if (this.#roots.length === 0) throw new InvalidOptionError('roots', 'at least one directory', 'none');
  }

  /** @throws CommandRefusedError where nothing is switched on. */
  checkSwitchedOn(): void {
    if (this.#rules.length === 0)
      throw new CommandRefusedError('this agent runs no programs: name them, commandAgent({ allow: [...] })');
  }

  /**
   * The file that an argv starts, absolute.
   *
   * @throws CommandRefusedError where no rule allows it, or it is not there.
   */
  programOf(argv: readonly string[]): string {
    const name = argv[0]!;
    if (name.includes('/') && !isAbsolute(name))
      throw new CommandRefusedError(`${name} is a relative path; name a program, or give an absolute path`);
    if (!this.#rules.some((rule) => allows(rule, argv)))
      throw new CommandRefusedError(
        `${name} is not allowed, or not with these arguments; see the option allow`,
      );
    const candidates = isAbsolute(name) ? [name] : this.path.split(delimiter).map((at) => join(at, name));
    const program = candidates.find(isExecutable);
    if (program === undefined) throw new CommandRefusedError(`${name} is not found, or not executable`);
    return program;
  }

  /**
   * The real path of a directory within the roots; the first of them where none is named. Symbolic links are
   * followed before it is judged.
   *
   * @throws CommandRefusedError, InvalidTaskError where there is none.
   */
  directoryOf(cwd: string | undefined): string {
    if (cwd === undefined) return this.#roots[0]!;
    const real = realDirectory(resolve(this.#roots[0]!, cwd));
    if (real === undefined) throw new InvalidTaskError('input.cwd', 'expected a directory that exists');
    if (!this.#roots.some((root) => isWithin(root, real)))
      throw new CommandRefusedError('cwd is outside of the allowed directories; see the option roots');
    return real;
  }
}

function allows(rule: CommandRule, argv: readonly string[]): boolean {
  if (typeof rule === 'function') return rule(argv) === true;
  const start = typeof rule === 'string' ? [rule] : rule;
  return start.length <= argv.length && start.every((word, i) => word === argv[i]);
}

function checkRule(rule: CommandRule, i: number): void {
  if (typeof rule === 'function') return;
  const words: readonly unknown[] = Array.isArray(rule) ? rule : [rule];
  const [name] = words;
  const isNamed = typeof name === 'string' && name !== '' && (!name.includes('/') || isAbsolute(name));
  if (!isNamed || words.some((word) => typeof word !== 'string'))
    throw new InvalidOptionError(`allow[${i}]`, 'a name, an absolute path, or an argv that begins so', rule);
}

function existing(root: string, option: string): string {
  const real = typeof root === 'string' ? realDirectory(root) : undefined;
  if (real === undefined) throw new InvalidOptionError(option, 'a directory that exists', root);
  return real;
}

function realDirectory(path: string): string | undefined {
  try {
    const real = realpathSync(path);
    return statSync(real).isDirectory() ? real : undefined;
  } catch {
    return undefined;
  }
}

function isWithin(root: string, path: string): boolean {
  const way = relative(root, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
