import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../clock.ts';

export interface GroupOptions {
  /** Absolute, and already allowed. */
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** false: nobody reads what it writes, so that it can outlive this process. */
  readonly keepsOutput: boolean;
  readonly graceMs: number;
  readonly clock: Clock;
}

export interface ProgramExit {
  /** null where a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Starts the guard, and becomes the program; `"$@"` is never read as shell text. The guard is a member of the
 * group, so that the group's number belongs to nobody else while it lives. It reads from a socket whose other end
 * this process holds: a line lets it go, and an end without one, which is what any death of this process makes,
 * kills its whole group. It has init as its parent, for the program shall have no child that it did not make.
 */
const GUARDED = `trap '' HUP INT QUIT TERM USR1 USR2 PIPE
( ( read -r leave <&3 && exit 0; kill -KILL 0 ) </dev/null >/dev/null 2>&1 & )
trap - HUP INT QUIT TERM USR1 USR2 PIPE
exec "$@" 3<&-`;

const GUARD_FD = 3;

/** A program with everything it starts: a process group of its own, which ends as a whole. */
export class CommandGroup {
  readonly #child: ChildProcess;
  readonly #graceMs: number;
  readonly #clock: Clock;
  readonly #closed: Promise<unknown>;
  /** Rejects where the program could not be started at all. */
  readonly exited: Promise<ProgramExit>;
  #ended: Promise<void> | undefined;

  constructor({ program, args, cwd, env, stdin, keepsOutput, graceMs, clock }: GroupOptions) {
    const output = keepsOutput ? 'pipe' : 'ignore';
    this.#child = spawn('/bin/sh', ['-c', GUARDED, 'jotty', program, ...args], {
      cwd,
      env,
      detached: true,
      stdio: [stdin === '' ? 'ignore' : 'pipe', output, output, 'pipe'],
    });
    this.#graceMs = graceMs;
    this.#clock = clock;
    this.exited = once(this.#child, 'exit').then(([exitCode, signal]) => ({ exitCode, signal }));
    // Not the child's own `close`: the guard keeps its socket open.
    this.#closed = Promise.all([this.exited.catch(() => {}), closed(this.stdout), closed(this.stderr)]);
    // Whoever waits gets it from `exited`; without a listener here it would end the process.
    this.#child.on('error', () => {});
    this.exited.catch(() => {});
    this.#guard?.on('error', () => {});
    // A program that does not read its input is no error.
    this.#child.stdin?.on('error', () => {}).end(stdin);
  }

  /** Of the program and its group. undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get stdout(): Readable | null {
    return this.#child.stdout;
  }

  get stderr(): Readable | null {
    return this.#child.stderr;
  }

  /**
   * Resolves when the group is gone: SIGTERM, and SIGKILL where `graceMs` later the program is still there, or
   * something that writes to its output.
   */
  end(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  /** The program goes on without this process, and is nobody's to end. */
  leave(): void {
    this.#guard?.end('leave\n');
    this.#child.unref();
    (this.#guard as unknown as { unref?(): void } | undefined)?.unref?.();
  }

  get #guard(): Writable | undefined {
    return (this.#child.stdio[GUARD_FD] as Writable | null | undefined) ?? undefined;
  }

  async #end(): Promise<void> {
    if (this.pid === undefined) return;
    this.#signal('SIGTERM');
    await this.#withinGrace(this.#closed);
    this.#signal('SIGKILL');
    // What has left the group may hold the output for ever.
    await this.exited.catch(() => {});
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    this.#guard?.destroy();
    await this.#closed;
  }

  /** The guard keeps the number from being given to others, also after the program's own end. */
  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid!, signal);
    } catch {
      // ESRCH: the group is gone already. EPERM: it has become another user's.
    }
  }

  #withinGrace(work: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => resolve(undefined), this.#graceMs);
      void work.then(() => {
        this.#clock.clearTimeout(timer);
        resolve(undefined);
      });
    });
  }
}

function closed(stream: Readable | null): Promise<unknown> {
  return stream === null ? Promise.resolve() : new Promise((resolve) => stream.once('close', resolve));
}
