import type { Readable } from 'node:stream';
import { type Clock, systemClock } from '../clock.ts';
import { CommandFailedError, HealthCheckError, InvalidOptionError } from '../errors.ts';
import type { JsonValue } from '../json.ts';
import { untilAborted } from './abort-race.ts';
import type { AttemptInfo } from './agent.ts';
import type {
  CommandAgentOptions,
  CommandCallOptions,
  CommandProgress,
  CommandResult,
} from './command-agent.ts';
import { CommandAllowList } from './command-allow-list.ts';
import { CommandEnvironment } from './command-environment.ts';
import { CommandGroup, type ProgramExit } from './command-group.ts';
import { type CheckedHealth, HealthChecker, type HealthReport } from './command-health.ts';
import { type Command, commandOf } from './command-input.ts';
import { CommandOutput } from './command-output.ts';
import { CommandSecrets } from './command-secrets.ts';

/** Two outputs of control characters, six bytes of JSON each, still fit a result. */
export const COMMAND_OUTPUT_BYTES_MAX = 80 * 1024;
const GRACE_MS_MAX = 3_600_000;
/** Of stderr, in the error of a program that failed, characters. */
const STDERR_TAIL_CHARS = 2_000;
const NO_JSON = Symbol('no JSON');
/** Of a program that runs on. */
const LEFT = { exitCode: null, signal: null };

/** One call of the agent. */
interface Call {
  readonly command: Command;
  readonly check: CheckedHealth | undefined;
  readonly info: AttemptInfo | undefined;
  readonly signal: AbortSignal;
  readonly writer: ((chunk: unknown) => void) | undefined;
}

/** A call whose program may still be ending. */
interface Running {
  readonly taskId: string | undefined;
  readonly fence: number;
  readonly end: Promise<unknown>;
}

interface Ended {
  readonly exit: ProgramExit;
  /** undefined where the program exited first, or nobody asked. */
  readonly health: HealthReport | undefined;
  readonly pid: number | undefined;
}

/** Runs commands within what the agent allows. */
export class CommandRunner {
  readonly #allowList: CommandAllowList;
  readonly #environment: CommandEnvironment;
  readonly #secrets: CommandSecrets;
  readonly #health: HealthChecker;
  readonly #outputBytesMax: number;
  readonly #graceMs: number;
  readonly #clock: Clock;
  readonly #running = new Set<Running>();

  /** @throws InvalidOptionError */
  constructor({
    allow = [],
    path,
    roots,
    env = {},
    secrets = {},
    envAllowed = [],
    healthCheckOrigins,
    outputBytesMax = 65_536,
    graceMs = 5_000,
    clock = systemClock,
  }: CommandAgentOptions) {
    this.#allowList = new CommandAllowList(allow, path, roots);
    this.#environment = new CommandEnvironment({ path: this.#allowList.path, env, secrets, envAllowed });
    this.#secrets = new CommandSecrets(secrets);
    this.#health = new HealthChecker(healthCheckOrigins, clock);
    this.#outputBytesMax = within('outputBytesMax', outputBytesMax, 1, COMMAND_OUTPUT_BYTES_MAX);
    this.#graceMs = within('graceMs', graceMs, 0, GRACE_MS_MAX);
    this.#clock = clock;
  }

  async run(input: unknown, { signal, writer, configurable }: CommandCallOptions): Promise<CommandResult> {
    this.#allowList.checkSwitchedOn();
    const info = configurable?.jotty as AttemptInfo | undefined;
    const command = commandOf(input, info?.workflow?.input);
    const check = command.healthCheck && this.#health.check(command.healthCheck);
    const controller = new AbortController();
    const unfollow = follow(signal, controller);
    const end = this.#runInTurn({ command, check, info, signal: controller.signal, writer });
    const running = { taskId: info?.taskId, fence: info?.fence ?? 0, end: end.catch(() => {}) };
    this.#running.add(running);
    try {
      return await end;
    } finally {
      unfollow();
      this.#running.delete(running);
    }
  }

  /** An earlier run of the same task, timed out or otherwise given up, may not have died yet. */
  async #runInTurn(call: Call): Promise<CommandResult> {
    const { info, signal, command } = call;
    const earlier = [...this.#running].filter(
      ({ taskId, fence }) => taskId !== undefined && taskId === info?.taskId && fence < info.fence,
    );
    if (earlier.length > 0) await untilAborted(Promise.all(earlier.map(({ end }) => end)), signal);
    signal.throwIfAborted();
    const startedAt = this.#clock.now();
    const { argv } = command;
    const result = argv === undefined ? await this.#checkHealth(call) : await this.#runProgram(call, argv);
    return { ...result, durationMs: Math.max(0, this.#clock.now() - startedAt) };
  }

  async #checkHealth({ check, signal }: Call): Promise<Omit<CommandResult, 'durationMs'>> {
    const health = await this.#health.untilHealthy(check!, signal);
    return { exitCode: null, signal: null, stdout: '', stderr: '', truncated: false, health };
  }

  async #runProgram(call: Call, argv: readonly string[]): Promise<Omit<CommandResult, 'durationMs'>> {
    const group = this.#start(call, argv);
    const stdout = this.#follow(group.stdout, 'stdout', call);
    const stderr = this.#follow(group.stderr, 'stderr', call);
    const tail = () => stderr.text().slice(-STDERR_TAIL_CHARS);
    const { exit, health, pid } = await this.#untilEnded(group, call).catch((error: unknown) => {
      throw error instanceof HealthCheckError ? new HealthCheckError(error.problem, tail()) : error;
    });
    const fail = (how: string) => new CommandFailedError(argv[0]!, how, exit, tail());
    if (call.check === undefined && exit.exitCode !== 0) throw fail('');
    if (call.check !== undefined && health === undefined) throw fail('before it was healthy');
    const text = stdout.text();
    const json = call.command.parse === 'json' ? parsed(text) : undefined;
    if (json === NO_JSON) throw fail('and its stdout is not one JSON value');
    return {
      ...exit,
      stdout: text,
      stderr: stderr.text(),
      truncated: stdout.isTruncated || stderr.isTruncated,
      ...(json !== undefined && { json }),
      ...(health !== undefined && { health }),
      ...(pid !== undefined && { pid }),
    };
  }

  /** The group is gone, or left: then it has a pid. */
  async #untilEnded(group: CommandGroup, call: Call): Promise<Ended> {
    let isLeft = false;
    try {
      const health = await this.#untilDone(group, call);
      call.signal.throwIfAborted();
      isLeft = health !== undefined && call.check?.whenHealthy === 'leave';
      if (isLeft) return { exit: LEFT, health, pid: group.pid };
      await group.end();
      return { exit: await group.exited, health, pid: undefined };
    } finally {
      if (isLeft) group.leave();
      else await group.end();
    }
  }

  #start({ command, check, info }: Call, argv: readonly string[]): CommandGroup {
    const { cwd, env = {}, stdin = '' } = command;
    return new CommandGroup({
      program: this.#allowList.programOf(argv),
      args: argv.slice(1),
      cwd: this.#allowList.directoryOf(cwd),
      env: this.#environment.of(env, info),
      stdin,
      keepsOutput: check?.whenHealthy !== 'leave',
      graceMs: this.#graceMs,
      clock: this.#clock,
    });
  }

  /** Until the program has exited (undefined) or is healthy. */
  async #untilDone(group: CommandGroup, { check, signal }: Call): Promise<HealthReport | undefined> {
    if (check === undefined) {
      await untilAborted(group.exited, signal);
      return undefined;
    }
    const done = new AbortController();
    const unfollow = follow(signal, done);
    const healthy = this.#health.untilHealthy(check, done.signal);
    try {
      return await Promise.race([healthy, group.exited.then(() => undefined)]);
    } finally {
      unfollow();
      healthy.catch(() => {});
      done.abort();
    }
  }

  #follow(
    source: Readable | null,
    stream: CommandProgress['stream'],
    { writer, signal }: Call,
  ): CommandOutput {
    const tell = (line: string) => {
      if (signal.aborted) return;
      try {
        writer?.({ type: 'output', stream, line } satisfies CommandProgress);
      } catch {
        // A reader that is gone is no reason to stop the program, and here an error would end the process.
      }
    };
    const output = new CommandOutput(this.#outputBytesMax, this.#secrets, tell);
    output.follow(source);
    return output;
  }
}

/** Signals live longer than calls, so that a listener must not stay on them. */
function follow(source: AbortSignal | undefined, controller: AbortController): () => void {
  if (source === undefined) return () => {};
  const abort = () => controller.abort(source.reason);
  if (source.aborted) abort();
  else source.addEventListener('abort', abort, { once: true });
  return () => source.removeEventListener('abort', abort);
}

function parsed(text: string): JsonValue | typeof NO_JSON {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return NO_JSON;
  }
}

function within(option: string, value: number, min: number, max: number): number {
  if (!(Number.isFinite(value) && value >= min && value <= max))
    throw new InvalidOptionError(option, `a number between ${min} and ${max}`, value);
  return value;
}
