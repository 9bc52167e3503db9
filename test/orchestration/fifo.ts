import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/**
 * A named pipe that programs hold open: it ends when the last of them, grandchildren too, is dead. So a test learns
 * of deaths without asking again and again.
 */
export class Fifo {
  readonly #folder = mkdtempSync(join(tmpdir(), 'jotty-fifo-'));
  readonly path = join(this.#folder, 'held');
  readonly lines: string[] = [];
  readonly #lines;
  /** All who held it are dead. */
  readonly ended: Promise<unknown>;
  isEnded = false;

  constructor() {
    execFileSync('mkfifo', [this.path]);
    this.#lines = createInterface({ input: createReadStream(this.path) });
    this.#lines.on('line', (line) => this.lines.push(line));
    this.ended = once(this.#lines, 'close').then(() => {
      this.isEnded = true;
    });
  }

  /** Resolves when programs have written this many lines into it. */
  async line(count = 1): Promise<void> {
    while (this.lines.length < count) await once(this.#lines, 'line');
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    rmSync(this.#folder, { recursive: true });
  }
}

/** A program with a child that holds the pipe too. Neither heeds SIGTERM, and the child writes nowhere else. */
export function stubborn(fifo: Fifo): string[] {
  const child = `trap '' TERM; echo child >&9; while :; do sleep 100; done`;
  return [
    'sh',
    '-c',
    `exec 9>"$1"; trap 'echo asked >&9' TERM; sh -c "$2" >/dev/null 2>&1 & while :; do wait; sleep 0.01; done`,
    'stubborn',
    fifo.path,
    child,
  ];
}
