import { CommandRefusedError, InvalidOptionError } from '../errors.ts';
import type { AttemptInfo } from './agent.ts';

/** Of this process's own environment a program gets these alone: no keys, no tokens. */
const INHERITED = ['HOME', 'USER', 'LOGNAME', 'TMPDIR', 'LANG', 'LC_ALL', 'TZ'] as const;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Whoever sets one of these chooses what code a program runs. */
const CODE_LOADING =
  /^(LD_|DYLD_|JOTTY_|GIT_|npm_config_)|^(PATH|NODE_OPTIONS|NODE_PATH|BASH_ENV|ENV|IFS|PYTHONPATH|PYTHONSTARTUP|PERL5OPT|PERL5LIB|RUBYOPT|RUBYLIB|JAVA_TOOL_OPTIONS)$/i;

export interface EnvironmentOptions {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly envAllowed: readonly string[];
}

/** What a program finds in its environment: a few names of this process's, the agent's own, and what its task may set. */
export class CommandEnvironment {
  readonly #base: Readonly<Record<string, string>>;
  readonly #allowed: ReadonlySet<string>;

  /** @throws InvalidOptionError */
  constructor({ path, env, secrets, envAllowed }: EnvironmentOptions) {
    for (const [option, values] of Object.entries({ env, secrets })) {
      for (const [name, value] of Object.entries(values)) {
        if (!NAME.test(name) || typeof value !== 'string' || value.includes('\0'))
          throw new InvalidOptionError(`${option}.${name}`, 'texts by names of variables', typeof value);
      }
    }
    envAllowed.forEach((name, i) => {
      if (!NAME.test(name) || CODE_LOADING.test(name))
        throw new InvalidOptionError(
          `envAllowed[${i}]`,
          'a name that does not choose what code is run',
          name,
        );
    });
    const inherited = INHERITED.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    this.#base = { ...Object.fromEntries(inherited), PATH: path, ...env, ...secrets };
    this.#allowed = new Set(envAllowed);
  }

  /** @throws CommandRefusedError for a name that is not allowed. */
  of(env: Readonly<Record<string, string>>, info: AttemptInfo | undefined): Record<string, string> {
    for (const name of Object.keys(env)) {
      if (!this.#allowed.has(name))
        throw new CommandRefusedError(`env.${name} may not be set by a task; see the option envAllowed`);
    }
    return { ...this.#base, ...env, ...attemptOf(info) };
  }
}

/** For idempotency keys, and for whatever must refuse the program of a worker that lost its lease. */
function attemptOf(info: AttemptInfo | undefined): Record<string, string> {
  if (info === undefined) return {};
  const { taskId, threadId, attempt, fence } = info;
  return {
    JOTTY_TASK_ID: taskId ?? threadId,
    JOTTY_ATTEMPT: String(attempt),
    JOTTY_FENCE: String(fence),
  };
}
