import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';

/** Reads the id of the process group to end; at the end of its input it kills that group and removes the folder. */
const SCRIPT = `while read -r line; do group=$line; done
[ -n "$group" ] && kill -s KILL -- "-$group" 2>/dev/null
rm -rf "$1"`;

/**
 * A small process that outlives this one, however that ends: when the pipe between them closes, it kills the
 * server and removes its folder. It keeps this process alive no longer than it would live by itself.
 */
export class Guardian {
  readonly #process: ChildProcess;

  constructor(folder: string) {
    // In a session of its own, so that Ctrl-C in a terminal does not reach it.
    this.#process = spawn('sh', ['-c', SCRIPT, 'guardian', folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.#process.unref();
    (this.#process.stdin as Socket).unref();
  }

  /** The process group to kill from now on; none when it has ended. */
  watch(group: number | undefined): void {
    this.#process.stdin?.write(`${group ?? ''}\n`);
  }

  /** Resolves when the server is dead and the folder removed. */
  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.ref();
    const closed = once(this.#process, 'close');
    this.#process.stdin?.end();
    await closed;
  }
}
