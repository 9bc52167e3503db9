import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const USAGE = `npm start -- [dir] [options]

  dir                  the directory to report on (default: this one)
  --out <file>         where the report goes (default: .jotty/<name>-report.md)
  --db <file>          where the queue lies (default: .jotty/<name>-<hash>.db)
  --concurrency <n>    folders inspected at a time, 1-64 (default: 4)
  --fresh              give up an unfinished run and begin a new one
  --model <p:name>     a chat model that LangChain knows, e.g. openai:gpt-5-mini, for a summary in words;
                       also $JOTTY_MODEL. Its package has to be installed: npm install @langchain/openai
  --no-model           no model, also where $JOTTY_MODEL is set
  --help               this text`;

export interface Options {
  /** Absolute. */
  readonly root: string;
  readonly out: string;
  readonly db: string;
  /** Short and safe in file names and task ids, the same for the same root. */
  readonly slug: string;
  readonly concurrency: number;
  readonly fresh: boolean;
  readonly model: string | null;
}

/** Something the user can put right; the message says how. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

/** Reads the command line. @throws InputError */
export async function optionsFrom(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<Options | 'help'> {
  const { values, positionals } = parsed(args);
  if (values.help === true) return 'help';
  if (positionals.length > 1)
    throw new InputError(`expected one directory, got ${positionals.length}: ${positionals.join(' ')}`);
  const root = resolve(cwd, positionals[0] ?? '.');
  await assertHasEntries(root);
  const name =
    basename(root)
      .replace(/[^A-Za-z0-9_.-]/g, '-')
      .slice(0, 40) || 'root';
  const slug = `${name}-${createHash('sha256').update(root).digest('hex').slice(0, 8)}`;
  return {
    root,
    slug,
    out: resolve(cwd, values.out ?? join('.jotty', `${name}-report.md`)),
    db: resolve(cwd, values.db ?? join('.jotty', `${slug}.db`)),
    concurrency: concurrencyFrom(values.concurrency),
    fresh: values.fresh === true,
    model: values['no-model'] === true ? null : values.model || env.JOTTY_MODEL || null,
  };
}

/** A path as it is easiest to read from here. */
export function shown(path: string, cwd: string): string {
  const near = relative(cwd, path);
  return near === '' ? '.' : near.startsWith('../../') ? path : near;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        out: { type: 'string' },
        db: { type: 'string' },
        concurrency: { type: 'string' },
        fresh: { type: 'boolean' },
        model: { type: 'string' },
        'no-model': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new InputError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

const CONCURRENCY_MAX = 64;

function concurrencyFrom(text = '4'): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= CONCURRENCY_MAX) return value;
  throw new InputError(`--concurrency: expected a whole number from 1 to ${CONCURRENCY_MAX}, got ${text}`);
}

async function assertHasEntries(root: string): Promise<void> {
  try {
    const entries = await readdir(root);
    if (entries.length === 0) throw new InputError(`${root} is empty: there is nothing to report on`);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(problemWith(root, (error as NodeJS.ErrnoException).code), { cause: error });
  }
}

function problemWith(root: string, code: string | undefined): string {
  if (code === 'ENOENT') return `there is no directory ${root}`;
  if (code === 'ENOTDIR') return `${root} is a file; give the directory it lies in`;
  return `${root} cannot be read (${code})`;
}
