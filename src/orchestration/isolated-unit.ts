import { type ChildProcess, type Serializable, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../clock.ts';
import { AgentCrashedError } from '../errors.ts';
import type { ResolvedIsolation } from './isolation.ts';
import { within } from './wakeup.ts';

export interface UnitExit {
  /** null where a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly isOutOfMemory: boolean;
  /** The end of what it wrote to stderr, or its error. */
  readonly lastWords: string;
}

/** A thread or a process that runs one agent at a time. */
export interface IsolatedUnit {
  /** Never rejects. */
  readonly exited: Promise<UnitExit>;
  onMessage: (message: unknown) => void;
  post(message: object): void;
  /** By force, with all that it has started. */
  kill(): void;
  /** Whether it keeps this process alive. */
  hold(isBusy: boolean): void;
}

/** Beside this file, as source or compiled. */
const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './isolated-worker.ts' : './isolated-worker.js',
  import.meta.url,
);
const OUT_OF_MEMORY = /heap out of memory|Reached heap limit/;
const LAST_WORDS_CHARS = 4_000;
const LAST_WORDS_MS = 500;
/** In the error, characters. */
const LAST_WORDS_TOLD = 500;

/** What its run has failed with. */
export function crashOf(exit: UnitExit): AgentCrashedError {
  const { exitCode, signal, isOutOfMemory, lastWords } = exit;
  const how = isOutOfMemory ? 'ran out of memory' : `ended by ${signal ?? `exit code ${exitCode}`}`;
  const tail = isOutOfMemory ? '' : lastWords.trim().slice(-LAST_WORDS_TOLD);
  return new AgentCrashedError(`the agent's thread or process ${how}${tail === '' ? '' : `: ${tail}`}`, exit);
}

export function startUnit(isolation: ResolvedIsolation): IsolatedUnit {
  return isolation.in === 'thread' ? new ThreadUnit(isolation) : new ProcessUnit(isolation);
}

class ThreadUnit implements IsolatedUnit {
  readonly exited: Promise<UnitExit>;
  onMessage: (message: unknown) => void = () => {};
  readonly #worker: Worker;

  constructor({ maxMemoryMb, execArgv }: ResolvedIsolation) {
    const loader = (execArgv ?? process.execArgv).map(tsxApis).find((apis) => apis !== undefined);
    this.#worker = new Worker(loader === undefined ? ENTRY : withLoader(loader), {
      eval: loader !== undefined,
      ...(maxMemoryMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb } }),
      ...(execArgv !== undefined && loader === undefined && { execArgv: [...execArgv] }),
    });
    let error: unknown;
    this.#worker.on('error', (thrown) => {
      error = thrown;
    });
    this.#worker.on('message', (message) => this.onMessage(message));
    this.exited = once(this.#worker, 'exit').then(
      ([exitCode]) => exitOf(exitCode as number, error),
      // `once` rejects with the first error; the exit follows it.
      (thrown) => exitOf(1, thrown),
    );
  }

  post(message: object): void {
    this.#worker.postMessage(message);
  }

  kill(): void {
    void this.#worker.terminate();
  }

  hold(isBusy: boolean): void {
    if (isBusy) this.#worker.ref();
    else this.#worker.unref();
  }
}

/** tsx registers itself in the main thread alone; in others its API does. */
function tsxApis(option: string): readonly string[] | undefined {
  if (option === 'tsx') return ['tsx/cjs/api', 'tsx/esm/api'];
  if (!/^file:.*\/tsx\/dist\/loader\.mjs$/.test(option)) return undefined;
  return ['./cjs/api/index.mjs', './esm/api/index.mjs'].map((path) => new URL(path, option).href);
}

function withLoader(apis: readonly string[]): string {
  const imports = apis.map((api) => `(await import(${JSON.stringify(api)})).register();`);
  return `(async () => { ${imports.join(' ')} await import(${JSON.stringify(ENTRY.href)}); })();`;
}

function exitOf(exitCode: number, error: unknown): UnitExit {
  const { code, stack } = (error ?? {}) as { code?: unknown; stack?: unknown };
  const lastWords = typeof stack === 'string' ? stack : error === undefined ? '' : String(error);
  return { exitCode, signal: null, isOutOfMemory: code === 'ERR_WORKER_OUT_OF_MEMORY', lastWords };
}

/**
 * As for commands: a guard in the process group reads from a socket whose other end this process holds. However
 * this process dies, that end closes, and the guard kills the group, also where its event loop is blocked.
 */
const GUARDED = `( ( read -r leave <&3 && exit 0; kill -KILL 0 ) </dev/null >/dev/null 2>&1 4<&- & )
exec "$@" 3<&-`;
const GUARD_FD = 3;

/** Options that are about this process alone, with what follows them. */
const OWN_OPTIONS = /^(-e|-p|-pe|--eval|--print|--input-type|--inspect|--watch|--test|--max-old-space-size)/;
const WITH_VALUE = /^(-e|-p|-pe|--eval|--print)$/;

class ProcessUnit implements IsolatedUnit {
  readonly exited: Promise<UnitExit>;
  onMessage: (message: unknown) => void = () => {};
  readonly #child: ChildProcess;
  #lastWords = '';

  constructor({ maxMemoryMb, execArgv = inherited(process.execArgv) }: ResolvedIsolation) {
    const memory = maxMemoryMb === undefined ? [] : [`--max-old-space-size=${Math.floor(maxMemoryMb)}`];
    const command = [process.execPath, ...execArgv, ...memory, fileURLToPath(ENTRY)];
    this.#child = spawn('/bin/sh', ['-c', GUARDED, 'jotty', ...command], {
      // A group of its own, which a terminal's Ctrl-C does not reach: this process drains it.
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'pipe', 'pipe', 'ipc'],
    });
    this.#child.on('message', (message) => this.onMessage(message));
    this.#child.on('error', () => {});
    this.#guard?.on('error', () => {});
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    this.exited = this.#end();
  }

  post(message: object): void {
    if (this.#child.connected) this.#child.send(message as Serializable, () => {});
  }

  /** The guard keeps the number of the group from being given to others. */
  kill(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  }

  hold(isBusy: boolean): void {
    const change = isBusy ? 'ref' : 'unref';
    const handles = [this.#child, this.#child.channel, this.#child.stderr, this.#guard];
    for (const handle of handles)
      (handle as { ref?(): void; unref?(): void } | null | undefined)?.[change]?.();
  }

  get #guard(): Writable | undefined {
    return (this.#child.stdio[GUARD_FD] as Writable | null | undefined) ?? undefined;
  }

  #hear(text: string): void {
    process.stderr.write(text);
    this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARS);
  }

  async #end(): Promise<UnitExit> {
    const stderr = this.#child.stderr as Readable | null;
    const isRead =
      stderr === null ? Promise.resolve() : new Promise((resolve) => stderr.once('close', resolve));
    const [exitCode, signal] = await once(this.#child, 'exit').catch((error: unknown) => {
      this.#lastWords = String(error);
      return [null, null];
    });
    // What it has left behind, and the guard, which may hold its stderr.
    this.kill();
    // What has left the group may hold it for ever.
    await within(systemClock, LAST_WORDS_MS, isRead);
    stderr?.destroy();
    this.#guard?.destroy();
    const lastWords = this.#lastWords;
    return { exitCode, signal, isOutOfMemory: OUT_OF_MEMORY.test(lastWords), lastWords };
  }
}

function inherited(execArgv: readonly string[]): string[] {
  return execArgv.filter((option, i) => !OWN_OPTIONS.test(option) && !WITH_VALUE.test(execArgv[i - 1] ?? ''));
}
