/** Where the output goes; `columns` is unset where it is no terminal. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/**
 * Lines that stay, above a few lines that are drawn again and again. Without a terminal only the former
 * exist, so that the output of a pipe or a log reads from top to bottom.
 */
export class Terminal {
  readonly isLive: boolean;
  readonly #output: Output;
  #drawn = 0;

  constructor(output: Output, env: NodeJS.ProcessEnv) {
    this.#output = output;
    this.isLive = output.isTTY === true && env.TERM !== 'dumb' && !env.CI;
  }

  /** A line that stays. */
  line(text = ''): void {
    this.#output.write(`${this.#erasure()}${text}\n`);
    this.#drawn = 0;
  }

  /** Replaces the living lines. They are cut at the edge: a wrapped line could not be erased. */
  live(lines: readonly string[]): void {
    if (!this.isLive) return;
    const width = (this.#output.columns || 80) - 1;
    this.#output.write(this.#erasure() + lines.map((line) => `${line.slice(0, width)}\n`).join(''));
    this.#drawn = lines.length;
  }

  /** Up to the first living line, and everything from there erased. */
  #erasure(): string {
    return this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\u001b[J`;
  }
}

/** `0.8 s`, `12.0 s`. */
export const shownTime = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
