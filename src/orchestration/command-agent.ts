import type { Clock } from '../clock.ts';
import type { JsonValue } from '../json.ts';
import { requireOptions } from '../options.ts';
import type { AgentSettings } from './agent.ts';
import type { CommandRule } from './command-allow-list.ts';
import type { HealthReport } from './command-health.ts';
import type { CommandInput } from './command-input.ts';
import { CommandRunner } from './command-runner.ts';

export interface CommandAgentOptions
  extends Pick<AgentSettings, 'capabilities' | 'maxConcurrent' | 'description' | 'timeoutMs'> {
  /** Nothing runs that is not listed. @default [], which refuses everything */
  readonly allow?: readonly CommandRule[] | undefined;
  /**
   * The directories that names of programs are looked up in, as a PATH; also the programs' own. Relative entries
   * are dropped. @default this process's PATH when the agent is made
   */
  readonly path?: string | undefined;
  /** The directories in and below which programs may be started. @default the current directory */
  readonly roots?: readonly string[] | undefined;
  /** Variables that every program gets. @default {} */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** As `env`, and hidden in output, progress and errors, from 6 characters on. @default {} */
  readonly secrets?: Readonly<Record<string, string>> | undefined;
  /** Variables that a task may set. @default [] */
  readonly envAllowed?: readonly string[] | undefined;
  /**
   * Origins that health checks may ask, e.g. `https://staging.example.com`. A task that names the URL makes this
   * process ask it: list none that must not be reached from here. @default any port of localhost
   */
  readonly healthCheckOrigins?: readonly string[] | undefined;
  /** Kept of stdout and of stderr, each: the last bytes. At most COMMAND_OUTPUT_BYTES_MAX. @default 65_536 */
  readonly outputBytesMax?: number | undefined;
  /** Between SIGTERM and SIGKILL, ms. @default 5_000 */
  readonly graceMs?: number | undefined;
  /** Makes the recorded result, e.g. a number out of stdout for conditions. @default the CommandResult */
  readonly toResult?: ((result: CommandResult) => unknown) | undefined;
  /** @default systemClock */
  readonly clock?: Clock | undefined;
}

export interface CommandResult {
  /** 0; null where a signal ended it, or there was no program, or it was left running. */
  readonly exitCode: number | null;
  /** How a server was ended after its health check. */
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether either is only the end of what was written. */
  readonly truncated: boolean;
  readonly durationMs: number;
  /** With `parse: 'json'`. */
  readonly json?: JsonValue;
  /** With a health check. */
  readonly health?: HealthReport;
  /** Of the process group of a program that was left running. */
  readonly pid?: number;
}

/** What `stream`, `events` and graphs' writers get of a running program: its lines. */
export interface CommandProgress {
  readonly type: 'output';
  readonly stream: 'stdout' | 'stderr';
  readonly line: string;
}

/** How a conductor calls it; a node of a graph gives it its own `config`. */
export interface CommandCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly writer?: ((chunk: unknown) => void) | undefined;
  readonly configurable?: { readonly jotty?: unknown } | undefined;
}

/** An agent for a conductor, or a node's tool. */
export interface CommandAgent
  extends Pick<CommandAgentOptions, 'capabilities' | 'maxConcurrent' | 'description' | 'timeoutMs'> {
  readonly toResult: (result: CommandResult) => unknown;
  /** @throws CommandRefusedError, CommandFailedError, HealthCheckError, InvalidTaskError, or the signal's reason. */
  invoke(input: CommandInput, options?: CommandCallOptions): Promise<CommandResult>;
}

/**
 * An agent that runs programs: its task's input is a `CommandInput`, e.g. `{ argv: ['npm', 'test'] }`, its result a
 * `CommandResult`. It is refused unless switched on: without `allow` it runs nothing.
 *
 * - No shell reads `argv`. A program is found by the agent's `path`, works within `roots`, and gets an environment
 *   of PATH, HOME, USER, LOGNAME, TMPDIR, LANG, LC_ALL, TZ, the agent's own, and JOTTY_TASK_ID, JOTTY_ATTEMPT and
 *   JOTTY_FENCE.
 * - It runs in a process group of its own, which ends as a whole: when the program ends, on time-outs, cancels, lost
 *   leases and at the end of a drain, by SIGTERM and `graceMs` later SIGKILL; when this process dies, however it
 *   does, by SIGKILL at once.
 * - Any other exit code than 0 is a failure, COMMAND_FAILED, which is tried again as the task says (`maxRetries`);
 *   what is not allowed is COMMAND_REFUSED and is not.
 * - With `healthCheck` the program is a server, and the run ends well once the URL answers 2xx.
 *
 * What it cannot do:
 *
 * - An allowed program may do all that this process's user may: read its files and its memory, use the network.
 *   Scrubbing keeps secrets from leaking by accident, not from a hostile program. Run the worker as a user, or in a
 *   container, that may do little.
 * - A program is judged by name and arguments, never by content. `allow: ['node']` allows `node -e` and so any
 *   code, as do `npm` (scripts of package.json), `git` (aliases, hooks), `find -exec` and every shell; so does a
 *   program, or a link to one, that others may replace in `path`. List beginnings of argv, `['npm', 'run',
 *   'build']`, and remember that a task may add arguments; a function sees all of them.
 * - A directory is judged when the program starts; a link in it that is changed meanwhile leads elsewhere.
 * - What leaves the group (`setsid`, a daemon, a container it starts) or becomes another user is not ended.
 * - A program that is killed with its worker, or whose worker loses its lease or is stopped, is run again from its
 *   start: it has no checkpoints. A standing worker cannot end it, and after a stop or a lost lease the next run may
 *   begin elsewhere within `graceMs` of the old one's life. JOTTY_TASK_ID is an idempotency key, JOTTY_FENCE rises.
 * - A server is left running before its result can be recorded: after a crash or a lost lease in between, the next run
 *   finds it there.
 * - A health check tells a submitter whether an allowed URL answers 2xx, and does not know who answers: with an old
 *   server on the port the new one may seem healthy. Names are resolved anew at each question.
 * - POSIX only; it needs /bin/sh. Beside each program stands a small guard, a child of init: in a container let the
 *   first process be one that reaps (`docker run --init`), not the worker itself.
 *
 * @throws InvalidOptionError
 */
export function commandAgent(options: CommandAgentOptions = {}): CommandAgent {
  const {
    capabilities,
    maxConcurrent,
    description,
    timeoutMs,
    toResult = (result: CommandResult) => result,
  } = requireOptions(options, 'an object');
  const runner = new CommandRunner(options);
  return {
    capabilities,
    maxConcurrent,
    description,
    timeoutMs,
    toResult,
    invoke: (input, call = {}) => runner.run(input, call),
  };
}
