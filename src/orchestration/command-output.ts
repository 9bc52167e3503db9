import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { CommandSecrets } from './command-secrets.ts';

/** A line of progress is cut here, characters. */
export const COMMAND_LINE_CHARS_MAX = 4_096;
/** Lines of progress of one run; what it writes beyond is in its result alone. */
export const COMMAND_LINES_MAX = 2_000;

/** The last `bytesMax` bytes of what a program writes, and its lines as they come. Bounded, whatever it writes. */
export class CommandOutput {
  readonly #bytesMax: number;
  readonly #secrets: CommandSecrets;
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  readonly #chunks: Buffer[] = [];
  #held = 0;
  #total = 0;
  #line = '';
  #lines = 0;

  constructor(bytesMax: number, secrets: CommandSecrets, onLine: (line: string) => void) {
    this.#bytesMax = bytesMax;
    this.#secrets = secrets;
    this.#onLine = onLine;
  }

  follow(stream: Readable | null): void {
    stream?.on('data', (chunk: Buffer) => this.#add(chunk));
    stream?.on('end', () => this.#endLine());
    stream?.on('error', () => {});
  }

  get isTruncated(): boolean {
    return this.#total > this.#bytesMax;
  }

  /** Without secrets, not even a part of one at the cut. */
  text(): string {
    const kept = Buffer.concat(this.#chunks);
    if (!this.isTruncated) return this.#secrets.hide(kept.toString('utf8'));
    const { charsMax } = this.#secrets;
    const bytes = kept.subarray(-(this.#bytesMax + this.#secrets.bytesMax));
    const text = this.#secrets.hide(withoutHalfCharacter(bytes)).slice(charsMax);
    return withoutHalfCharacter(Buffer.from(text).subarray(-this.#bytesMax));
  }

  #add(chunk: Buffer): void {
    this.#total += chunk.length;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const needed = this.#bytesMax + this.#secrets.bytesMax;
    while (this.#held - this.#chunks[0]!.length >= needed) this.#held -= this.#chunks.shift()!.length;
    if (this.#lines < COMMAND_LINES_MAX) this.#addLines(this.#decoder.write(chunk));
  }

  #addLines(text: string): void {
    const lines = text.split('\n');
    this.#grow(lines[0]!);
    for (const line of lines.slice(1)) {
      this.#endLine();
      this.#grow(line);
    }
  }

  /** A secret that the cut would go through is kept whole until it is hidden. */
  #grow(text: string): void {
    const room = COMMAND_LINE_CHARS_MAX + this.#secrets.charsMax - this.#line.length;
    this.#line += text.slice(0, Math.max(0, room));
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = '';
    if (line === '' || this.#lines >= COMMAND_LINES_MAX) return;
    this.#lines += 1;
    const isCut = line.length === COMMAND_LINE_CHARS_MAX + this.#secrets.charsMax;
    const shown = this.#secrets.hide(line.replace(/\r$/, ''));
    const end = isCut ? shown.length - this.#secrets.charsMax : shown.length;
    this.#onLine(shown.slice(0, Math.min(end, COMMAND_LINE_CHARS_MAX)));
  }
}

function withoutHalfCharacter(bytes: Buffer): string {
  let start = 0;
  while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start).toString('utf8');
}
