const CR = 13;
const LINES = new Set('+-:_#,('.split('').map(code));
const STRINGS = new Set('$!='.split('').map(code));
/** How many replies one entry of an aggregate consists of. */
const AGGREGATES: ReadonlyMap<number, number> = new Map([
  ...[...'*~>'].map((type) => [code(type), 1] as const),
  ...[...'%|'].map((type) => [code(type), 2] as const),
]);
const ATTRIBUTE = code('|');

/** Cuts what a Redis server sends (RESP 2 and 3) into whole replies. */
export class ReplyScanner {
  #rest: Buffer = Buffer.alloc(0);

  /** The replies that are complete with this chunk. */
  push(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const replies: Buffer[] = [];
    let from = 0;
    for (let end = endOf(this.#rest, from); end !== undefined; end = endOf(this.#rest, from)) {
      replies.push(this.#rest.subarray(from, end));
      from = end;
    }
    this.#rest = this.#rest.subarray(from);
    return replies;
  }
}

/** Where the reply that begins at `from` ends; undefined when more is to come. */
function endOf(data: Buffer, from: number): number | undefined {
  let missing = 1;
  let at = from;
  while (missing > 0) {
    const line = lineEnd(data, at);
    if (line === undefined) return undefined;
    const type = data[at]!;
    missing += entries(data, at, line) - (type === ATTRIBUTE ? 0 : 1);
    at = STRINGS.has(type) ? stringEnd(data, at, line) : line;
    if (at > data.length) return undefined;
  }
  return at;
}

function entries(data: Buffer, at: number, line: number): number {
  const type = data[at]!;
  const each = AGGREGATES.get(type);
  if (each === undefined && !LINES.has(type) && !STRINGS.has(type))
    throw new Error(
      `expected the beginning of a reply, got ${JSON.stringify(data.toString('latin1', at, line))}`,
    );
  return each === undefined ? 0 : each * Math.max(0, numberAt(data, at, line));
}

function stringEnd(data: Buffer, at: number, line: number): number {
  const length = numberAt(data, at, line);
  return length < 0 ? line : line + length + 2;
}

function numberAt(data: Buffer, at: number, line: number): number {
  return Number(data.toString('latin1', at + 1, line - 2));
}

function lineEnd(data: Buffer, at: number): number | undefined {
  const end = data.indexOf(CR, at);
  return end === -1 || end + 2 > data.length ? undefined : end + 2;
}

function code(character: string): number {
  return character.charCodeAt(0);
}
