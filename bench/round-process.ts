import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Figures } from './figures.ts';
import type { Round } from './round.ts';
import { GO, READY, STANDS } from './round-words.ts';

/** Longer than any round takes; a hanging side must not hang the whole run. */
const ROUND_TIMEOUT_MS = 120_000;
const ERROR_LINES_MAX = 4;

/**
 * A process of its own for each round: neither the memory nor the compiled code of one side disturbs another.
 * It loads its code at once, and begins when it is told to.
 */
export class RoundProcess {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #closed: Promise<string>;
  #figures: Figures | undefined;
  #complaints = '';

  constructor(script: string, round: Omit<Round, 'folder'>) {
    // Beside the compiled measures, with which it goes at the latest; not in /tmp, which is often in memory.
    this.#folder = mkdtempSync(join(dirname(script), 'round-'));
    this.#child = fork(script, [JSON.stringify({ ...round, folder: this.#folder })], {
      // Not the loader that this process may run under.
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child.stdout?.resume();
    this.#child.stderr?.on('data', (text) => {
      this.#complaints += text;
    });
    this.#child.on('message', (message) => {
      if (typeof message === 'object') this.#figures = message as Figures;
    });
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        rmSync(this.#folder, { recursive: true, force: true });
        resolve(`ended with ${signal ?? code}`);
      });
    });
  }

  /** Resolves when its code is loaded, also when it has ended over that: `run` says why. */
  async loaded(): Promise<void> {
    await this.#said(READY);
  }

  /** Resolves when what it watches stands, so that others may be measured beside it. */
  async stands(): Promise<void> {
    await this.#said(STANDS);
  }

  /** What it measured; rejects with the line that names the error. */
  async run(): Promise<Figures> {
    if (this.#child.connected) this.#child.send(GO, () => {});
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), ROUND_TIMEOUT_MS);
    const end = await this.#closed;
    clearTimeout(timer);
    if (this.#figures !== undefined) return this.#figures;
    throw new Error(reasonOf(this.#complaints) ?? end);
  }

  #said(word: string): Promise<unknown> {
    const said = new Promise<void>((resolve) => {
      this.#child.on('message', (message) => {
        if (message === word) resolve();
      });
    });
    return Promise.race([said, this.#closed]);
  }
}

/** The line that names the error, without the stack. */
function reasonOf(complaints: string): string | undefined {
  const lines = complaints.split('\n').filter((line) => line.trim() !== '');
  const error = lines.findIndex((line) => /^\w*Error\b/.test(line));
  return error === -1 ? lines.slice(0, ERROR_LINES_MAX).join(' ') || undefined : lines[error]?.trim();
}
