import { InvalidTaskError } from '../errors.ts';
import type { HealthCheck } from './command-health.ts';

/** What a task of a command agent gives as its `input`. */
export interface CommandInput {
  /** Of the task; it says nothing to the program. */
  readonly goal?: string | undefined;
  /** The program and its arguments, as they are: no shell reads them. Without it there is only the health check. */
  readonly argv?: readonly string[] | undefined;
  /** Absolute, or relative to the first of the agent's `roots`, and within one of them. @default the first root */
  readonly cwd?: string | undefined;
  /** Names that the agent's `envAllowed` lists. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** @default none: the program reads an end of file */
  readonly stdin?: string | undefined;
  /** `'json'`: what it writes to stdout is one JSON value, which becomes `result.json`. @default 'text' */
  readonly parse?: 'text' | 'json' | undefined;
  /** The program is a server: the run ends well once this URL answers 2xx. Or the URL alone. */
  readonly healthCheck?: string | HealthCheck | undefined;
}

/** All of `argv` and `env`, below what Linux takes. */
export const COMMAND_BYTES_MAX = 128 * 1024;

const KEYS: ReadonlySet<string> = new Set(['argv', 'cwd', 'env', 'stdin', 'parse', 'healthCheck']);
/** What every agent without a graph is given besides. */
const GIVEN: ReadonlySet<string> = new Set(['goal', 'results']);
const HEALTH_KEYS: ReadonlySet<string> = new Set(['url', 'timeoutMs', 'everyMs', 'whenHealthy']);

/** A command in one form. */
export interface Command extends Omit<CommandInput, 'healthCheck' | 'argv'> {
  readonly argv: readonly string[] | undefined;
  readonly healthCheck: HealthCheck | undefined;
}

/**
 * `alsoGiven` are the keys of the workflow's input, which are for all its tasks and may mean nothing here.
 *
 * @throws InvalidTaskError naming the place; an unknown key too, for a typo would run another command.
 */
export function commandOf(input: unknown, alsoGiven: object = {}): Command {
  if (!isRecord(input)) refuse('input', 'expected { argv, … }');
  for (const key of Object.keys(input)) {
    if (!KEYS.has(key) && !GIVEN.has(key) && !Object.hasOwn(alsoGiven, key))
      refuse(`input.${key}`, `expected one of ${[...KEYS].join(', ')}`);
  }
  const { argv, cwd, env, stdin, parse, healthCheck } = input;
  if (argv === undefined && healthCheck === undefined)
    refuse('input.argv', 'expected a program and its arguments');
  if (argv !== undefined) checkArgv(argv);
  if (env !== undefined) checkEnv(env);
  checkText('cwd', cwd);
  checkText('stdin', stdin);
  if (parse !== undefined && parse !== 'text' && parse !== 'json')
    refuse('input.parse', "expected 'text' or 'json'");
  const bytes = Buffer.byteLength(JSON.stringify([argv, env]));
  if (bytes > COMMAND_BYTES_MAX)
    refuse('input.argv', `expected at most ${COMMAND_BYTES_MAX} bytes, got ${bytes}`);
  return {
    ...(input as CommandInput),
    argv: argv as readonly string[] | undefined,
    healthCheck: healthOf(healthCheck),
  };
}

function checkArgv(argv: unknown): void {
  if (!Array.isArray(argv) || argv.length === 0 || argv[0] === '')
    refuse('input.argv', 'expected a list with a program and its arguments');
  argv.forEach((word: unknown, i) => {
    if (!isText(word)) refuse(`input.argv[${i}]`, 'expected a text without NUL');
  });
}

function checkEnv(env: unknown): void {
  if (!isRecord(env)) refuse('input.env', 'expected texts by name');
  for (const [name, value] of Object.entries(env)) {
    if (!isText(value)) refuse(`input.env.${name}`, 'expected a text without NUL');
  }
}

function checkText(key: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'string') refuse(`input.${key}`, 'expected a text');
  if (key === 'cwd' && value !== undefined && !isText(value))
    refuse(`input.${key}`, 'expected a text without NUL');
}

function healthOf(value: unknown): HealthCheck | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return { url: value };
  if (!isRecord(value)) refuse('input.healthCheck', 'expected a URL, or { url, … }');
  for (const key of Object.keys(value)) {
    if (!HEALTH_KEYS.has(key))
      refuse(`input.healthCheck.${key}`, `expected one of ${[...HEALTH_KEYS].join(', ')}`);
  }
  return value as unknown as HealthCheck;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(path: string, problem: string): never {
  throw new InvalidTaskError(path, problem);
}
