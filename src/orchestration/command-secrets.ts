/** Shorter pieces are words of every text, and would be hidden everywhere. */
const SECRET_CHARS_MIN = 6;

/** Hides the values of secrets where a program has written them. A value that it has encoded is not known again. */
export class CommandSecrets {
  readonly #byValue: ReadonlyMap<string, string>;
  readonly #pattern: RegExp | undefined;
  /** Of the longest. */
  readonly charsMax: number;
  readonly bytesMax: number;

  constructor(secrets: Readonly<Record<string, string>>) {
    const pieces = Object.entries(secrets).flatMap(([name, value]) =>
      // Output is hidden line by line as well, and a key of many lines is a secret in each.
      [value, ...value.split('\n')].map((piece) => [piece.trim(), `[${name}]`] as const),
    );
    this.#byValue = new Map(pieces.filter(([piece]) => piece.length >= SECRET_CHARS_MIN));
    const longestFirst = [...this.#byValue.keys()].sort((a, b) => b.length - a.length);
    this.#pattern =
      longestFirst.length === 0 ? undefined : new RegExp(longestFirst.map(literally).join('|'), 'g');
    this.charsMax = longestFirst[0]?.length ?? 0;
    this.bytesMax = Math.max(0, ...longestFirst.map((value) => Buffer.byteLength(value)));
  }

  hide(text: string): string {
    if (this.#pattern === undefined) return text;
    return text.replace(this.#pattern, (value) => this.#byValue.get(value) ?? '');
  }
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
