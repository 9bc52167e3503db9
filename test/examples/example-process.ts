import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PROJECT = join(import.meta.dirname, '..', '..');

/** An example running as a process of its own, as a user starts it. */
export class ExampleProcess {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly #ended: Promise<number | null>;
  #errors = '';
  #watchers: ((line: string) => void)[] = [];

  /** `file` is relative to `examples/`. */
  constructor(file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    const { INIT_CWD: _, npm_lifecycle_event: __, JOTTY_MODEL: ___, ...inherited } = process.env;
    this.child = spawn(process.execPath, ['--import', 'tsx', join(PROJECT, 'examples', file), ...args], {
      cwd: PROJECT,
      env: { ...inherited, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr?.on('data', (chunk) => {
      this.#errors += String(chunk);
    });
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.lines.push(line);
      for (const watch of this.#watchers) watch(line);
    });
    this.#ended = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** Resolves with the first line that matches; rejects when the process ends without it. */
  line(pattern: RegExp): Promise<string> {
    const seen = this.lines.find((line) => pattern.test(line));
    if (seen !== undefined) return Promise.resolve(seen);
    return new Promise((resolve, reject) => {
      this.#watchers.push((line) => pattern.test(line) && resolve(line));
      void this.#ended.then(() => reject(new Error(`ended without ${pattern}:\n${this.output}`)));
    });
  }

  /** Kills it as a power cut would. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#ended;
  }

  async end(): Promise<{ code: number | null; output: string; errors: string }> {
    const code = await this.#ended;
    return { code, output: this.output, errors: this.#errors };
  }

  get output(): string {
    return `${this.lines.join('\n')}${this.#errors}`;
  }
}
