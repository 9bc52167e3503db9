import { isAbsolute } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { InvalidOptionError } from '../errors.ts';
import { type Amounts, amountsProblem } from '../queue/budget.ts';
import type { AgentSettings } from './agent.ts';

export interface IsolationOptions {
  readonly in: 'thread' | 'process';
  /** Of its JavaScript heap. Buffers and native memory are not counted. @default Node's own bound */
  readonly maxMemoryMb?: number | undefined;
  /** How long a run may go on after its signal, ms: then it is killed. @default 5_000 */
  readonly graceMs?: number | undefined;
  /** How long one may take to start and load its module, ms. @default 30_000 */
  readonly startMs?: number | undefined;
  /** How long one is kept for a next run, ms. Each has one run at a time. @default 30_000 */
  readonly idleMs?: number | undefined;
  /** Options of Node for it, e.g. a loader of TypeScript. @default those of this process */
  readonly execArgv?: readonly string[] | undefined;
}

/**
 * An agent that is loaded by name: from the export of a module, in whatever form an agent may have; what belongs to its
 * graph (`toInput`, `toResult`, `migrate`, `recursionLimit`) is said there. With `isolation` it runs in a thread or
 * process of its own, and only data crosses the boundary.
 */
export interface ModuleAgent
  extends Pick<
    AgentSettings,
    'capabilities' | 'maxConcurrent' | 'description' | 'timeoutMs' | 'classify' | 'onFailure'
  > {
  /** A URL, e.g. `new URL('./agents.js', import.meta.url)`, or an absolute path. */
  readonly module: string | URL;
  /** @default 'default' */
  readonly export?: string | undefined;
  /**
   * What one goal may spend, of a team that the module exports: its own `budget` has to be said here too, since it is
   * kept where calls are counted.
   */
  readonly budget?: Amounts | undefined;
  /** @default none: it is loaded into this thread when it first runs */
  readonly isolation?: 'thread' | 'process' | IsolationOptions | undefined;
}

/** Where to find an agent. */
export interface ModulePlace {
  readonly url: string;
  readonly export: string;
}

export interface ResolvedIsolation {
  readonly in: 'thread' | 'process';
  readonly maxMemoryMb: number | undefined;
  readonly graceMs: number;
  readonly startMs: number;
  readonly idleMs: number;
  readonly execArgv: readonly string[] | undefined;
}

const MS_MAX = 24 * 3_600_000;
/** Below this Node itself does not start. */
const MEMORY_MB_MIN = 16;

export function isModuleAgent(source: unknown): source is ModuleAgent {
  const module: unknown =
    typeof source === 'object' && source !== null ? (source as { module?: unknown }).module : undefined;
  return typeof module === 'string' || module instanceof URL;
}

/** @throws InvalidOptionError */
export function placeOf(name: string, { module, export: exported = 'default' }: ModuleAgent): ModulePlace {
  const text = String(module);
  if (text.startsWith('file:'))
    return { url: pathToFileURL(fileURLToPath(text)).href + searchOf(text), export: exported };
  if (text.startsWith('data:') || text.startsWith('node:')) return { url: text, export: exported };
  if (!isAbsolute(text))
    throw new InvalidOptionError(`agents.${name}.module`, 'a file: URL or an absolute path', text);
  return { url: pathToFileURL(text).href, export: exported };
}

/** @throws InvalidOptionError for a team whose bound nobody would keep. */
export function checkTeamBudget(name: string, hasOwn: boolean, isKept: boolean): void {
  if (hasOwn && !isKept)
    throw new InvalidOptionError(
      `agents.${name}.budget`,
      'the budget of its team beside its module',
      undefined,
    );
}

/** @throws InvalidOptionError */
export function teamBudgetOf(name: string, { budget }: ModuleAgent): { readonly budget?: Amounts } {
  if (budget === undefined) return {};
  const problem = amountsProblem(budget as Record<string, unknown>);
  if (problem) throw new InvalidOptionError(`agents.${name}.budget${problem[0]}`, problem[1], budget);
  return { budget };
}

function searchOf(url: string): string {
  const { search } = new URL(url);
  return search;
}

/** @throws InvalidOptionError */
export function isolationOf(name: string, { isolation }: ModuleAgent): ResolvedIsolation | undefined {
  if (isolation === undefined) return undefined;
  const given = typeof isolation === 'string' ? { in: isolation } : isolation;
  const {
    maxMemoryMb,
    graceMs = 5_000,
    startMs = 30_000,
    idleMs = 30_000,
    execArgv,
  } = given as IsolationOptions;
  const at = `agents.${name}.isolation`;
  if (given.in !== 'thread' && given.in !== 'process')
    throw new InvalidOptionError(at, "'thread', 'process', or options with `in`", given.in);
  if (maxMemoryMb !== undefined && !(maxMemoryMb >= MEMORY_MB_MIN))
    throw new InvalidOptionError(`${at}.maxMemoryMb`, `a number from ${MEMORY_MB_MIN}`, maxMemoryMb);
  for (const [option, ms] of Object.entries({ graceMs, startMs, idleMs }))
    if (!(ms >= 0 && ms <= MS_MAX))
      throw new InvalidOptionError(`${at}.${option}`, `a number between 0 and ${MS_MAX}`, ms);
  return { in: given.in, maxMemoryMb, graceMs, startMs, idleMs, execArgv };
}
